"""What stands for a generator: each of its steps goes through one method, and who asks sees a generator."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import AsyncGenerator, Callable, Generator
from types import AsyncGeneratorType, GeneratorType
from typing import Any

from typing_extensions import Self


class SyncStandIn(Generator[Any, Any, Any]):
    """Stands for a generator, ``_steps``."""

    _steps: Any

    @property  # type: ignore[misc]
    def __class__(self) -> type:  # to those who ask what a stream is
        return GeneratorType

    def __iter__(self) -> Self:
        return self

    def __next__(self) -> Any:
        return self._step(self._steps.__next__)

    def send(self, value: Any) -> Any:
        """Send a value into the generator."""
        return self._step(self._steps.send, value)

    def throw(self, *error: Any) -> Any:
        """Raise an exception inside the generator."""
        try:
            return self._step(self._steps.throw, *error)
        finally:
            # Its traceback has this frame: a cycle, and the stream would wait for the garbage collector.
            del error

    @abstractmethod
    def _step(self, function: Callable[..., Any], *args: Any) -> Any:
        """Make one step of the generator."""


class AsyncStandIn(AsyncGenerator[Any, Any]):
    """Stands for an asynchronous generator, ``_steps``.

    A class, not a generator: the event loop closes every open asynchronous generator at its end, an
    outer and its inner one at the same time, which fails.
    """

    _steps: Any

    @property  # type: ignore[misc]
    def __class__(self) -> type:
        return AsyncGeneratorType

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> Any:
        return await self._step(self._steps.__anext__)

    async def asend(self, value: Any) -> Any:
        """Send a value into the generator."""
        return await self._step(self._steps.asend, value)

    async def athrow(self, *error: Any) -> Any:
        """Raise an exception inside the generator."""
        try:
            return await self._step(self._steps.athrow, *error)
        finally:
            del error

    @abstractmethod
    async def _step(self, function: Callable[..., Any], *args: Any) -> Any:
        """Make one step of the generator."""
