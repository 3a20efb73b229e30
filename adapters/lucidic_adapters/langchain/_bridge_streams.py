"""Streams of models: each step runs in the context of its run."""

from __future__ import annotations

import functools
from collections.abc import Callable
from types import MethodType
from typing import Any

from opentelemetry import context as otel_context
from opentelemetry.context import Context
from typing_extensions import override

from lucidic_adapters.langchain._bridge_cell import Cell, cell_here, restore
from lucidic_adapters.langchain._bridge_generators import AsyncStandIn, SyncStandIn
from lucidic_adapters.langchain._runs import RUNS


class _Steps:
    """What both kinds of stream share: the way into the run's context and out of it."""

    def __init__(self, steps: Any, cell: Cell, *, last_owner: bool = False) -> None:
        self._steps = steps
        self._cell = cell
        self._inside: Context | None = cell.runs[0].context if cell.runs else None
        self._last_owner = last_owner
        """Nobody else ends the run of a stream that is dropped half-way; one that ran to its end, LangChain ends."""

    def _enter(self) -> tuple[Context, Cell | None]:
        outer, before = otel_context.get_current(), cell_here.get()
        self._cell.enter(before)
        if self._inside is not None:
            otel_context.attach(self._inside)
        return outer, before

    def _leave(self, left: tuple[Context, Cell | None]) -> None:
        outer, before = left
        if self._cell.runs:
            self._inside = otel_context.get_current()
            restore(outer)
        cell_here.set(before)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._steps, name)

    def __del__(self) -> None:
        if self._last_owner:
            for run in self._cell.runs:
                RUNS.fail(run, GeneratorExit())


class SyncSteps(_Steps, SyncStandIn):
    """A generator whose steps run in the context of its run."""

    def close(self) -> None:
        """Close the generator; its run ends as stopped early."""
        self._step(self._steps.close)

    @override
    def _step(self, function: Callable[..., Any], *args: Any) -> Any:
        left = self._enter()
        try:
            return function(*args)
        except StopIteration:
            self._last_owner = False
            raise
        except BaseException as error:
            self._cell.abandon(error)
            raise
        finally:
            args = ()
            self._leave(left)


class AsyncSteps(_Steps, AsyncStandIn):
    """An asynchronous generator whose steps run in the context of its run."""

    async def aclose(self) -> None:
        """Close the generator; its run ends as stopped early."""
        await self._step(self._steps.aclose)

    @override
    async def _step(self, function: Callable[..., Any], *args: Any) -> Any:
        left = self._enter()
        try:
            return await function(*args)
        except StopAsyncIteration:
            self._last_owner = False
            raise
        except BaseException as error:
            self._cell.abandon(error)
            raise
        finally:
            args = ()
            self._leave(left)


class StreamFunction:
    """A wrapped generator function that still looks like one: LangChain asks ``inspect`` what a function is."""

    def __init__(self, original: Callable[..., Any], wrap: Callable[..., Any]) -> None:
        functools.update_wrapper(self, original)
        self._original = original
        self._wrap = wrap
        for name in ("__code__", "__defaults__", "__kwdefaults__"):
            setattr(self, name, getattr(original, name, None))

    def __get__(self, instance: Any, owner: Any = None) -> Any:
        return self if instance is None else MethodType(self, instance)

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        return self._wrap(self._original(*args, **kwargs), args, kwargs)
