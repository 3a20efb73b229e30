"""Streams of chains and graphs: the first step is told where the stream was made, and what the consumer got is known."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from opentelemetry import context as otel_context
from opentelemetry.context import Context
from typing_extensions import override

from lucidic.adapterkit import SessionScope, block_here, block_of_generator
from lucidic_adapters.langchain._bridge_cell import Cell, cell_here, restore
from lucidic_adapters.langchain._bridge_generators import AsyncStandIn, SyncStandIn
from lucidic_adapters.langchain._runs import RUN_KEY, RUNS


class _Late:
    """A stream whose first step, where its run starts, is told something: the block that it was made in, which
    may be left by then (another block around that step is nearer), and what runs, by a cell.

    Whatever is given to the consumer is noted for that run, and that the consumer left before the end.
    """

    def __init__(self, steps: Any, block: dict[str, Any], cell: Cell, *, notes: bool) -> None:
        self._steps = steps
        self._block = block
        self._cell = cell
        self._notes = notes
        self._note: Callable[[Any], None] | None = None
        self._begun = False
        self._ended = False
        self._held: SessionScope | None = None

    def _enter(self) -> tuple[Context | None, Cell | None]:
        self._begun = True
        outer, before = None, cell_here.get()
        if self._block and (held := block_of_generator()) is not None:
            held.__enter__()  # a stream of events runs in a task of its own
            self._held = held
        elif self._block and not block_here():
            outer = otel_context.get_current()
            otel_context.attach(Context({**outer, **self._block}))
        self._cell.enter(before)
        return outer, before

    def _leave(self, left: tuple[Context | None, Cell | None]) -> None:
        outer, before = left
        if self._held is not None:
            self._held.__exit__(None, None, None)
        if outer is not None:
            restore(outer)
        cell_here.set(before)
        streamed = self._cell.streamed
        if self._notes and self._cell.runs and streamed is not None:
            self._note = streamed.note

    def _end(self, error: BaseException) -> None:
        """Note that the stream came to its end; a run that LangChain forgot when it was torn down ends as well."""
        self._ended = True
        if self._notes and not isinstance(error, Exception):
            for run in self._cell.runs:
                RUNS.fail(run, error)

    def _is_left(self) -> None:
        if not self._ended:
            for run in self._cell.runs:
                if run.streamed is not None:
                    run.streamed.left = True

    def __getattr__(self, name: str) -> Any:
        return getattr(self._steps, name)

    def __del__(self) -> None:
        self._is_left()


class LateSteps(_Late, SyncStandIn):
    """Such a stream of synchronous code."""

    def close(self) -> None:
        """Close the generator; its run ends as stopped early."""
        self._is_left()
        self._steps.close()

    @override
    def _step(self, function: Callable[..., Any], *args: Any) -> Any:
        left = None if self._begun else self._enter()
        try:
            chunk = function(*args)
        except BaseException as error:
            self._end(error)
            raise
        finally:
            args = ()
            if left is not None:
                self._leave(left)
        if self._note is not None:
            self._note(chunk)
        return chunk


class LateAsyncSteps(_Late, AsyncStandIn):
    """Such a stream of asynchronous code."""

    async def aclose(self) -> None:
        """Close the generator; its run ends as stopped early."""
        self._is_left()
        await self._steps.aclose()

    @override
    async def _step(self, function: Callable[..., Any], *args: Any) -> Any:
        left = None if self._begun else self._enter()
        try:
            chunk = await function(*args)
        except BaseException as error:
            self._end(error)
            raise
        finally:
            args = ()
            if left is not None:
                self._leave(left)
        if self._note is not None:
            self._note(chunk)
        return chunk


def late(steps: Any, cell: Cell | None = None, *, notes: bool = True) -> Any:
    """Return a stream that tells its first step what is to be known there; itself where that is nothing.

    ``notes`` says that the stream is the run's own, not one of events about it.
    """
    block = {} if otel_context.get_current().get(RUN_KEY) is not None else block_here()
    if cell is None:
        if not block:
            return steps
        cell = Cell("")
    if hasattr(steps, "__anext__"):
        return LateAsyncSteps(steps, block, cell, notes=notes)
    return LateSteps(steps, block, cell, notes=notes) if hasattr(steps, "__next__") else steps
