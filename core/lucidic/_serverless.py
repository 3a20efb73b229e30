"""Functions as a service: the process is frozen, and perhaps never thawed, as soon as a handler has returned."""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable
from typing import Any, ParamSpec, TypeVar, overload

from lucidic._guard import guarded
from lucidic._manage import flush
from lucidic.errors import ConfigurationError


_P = ParamSpec("_P")
_R = TypeVar("_R")

DEFAULT_TIMEOUT = 2.0
_MARGIN = 0.2
"""Seconds that are left to the platform when the time of an invocation runs out."""


@overload
def flush_on_return(function: Callable[_P, _R], /) -> Callable[_P, _R]: ...
@overload
def flush_on_return(*, timeout: float = ...) -> Callable[[Callable[_P, _R]], Callable[_P, _R]]: ...
def flush_on_return(
    function: Callable[..., Any] | None = None, /, *, timeout: float = DEFAULT_TIMEOUT
) -> Callable[..., Any]:
    """Deliver what a handler recorded before it returns or raises; bare, or with a timeout.

    For AWS Lambda and its like, which freeze the process behind the handler: background threads get no time there.
    Sync and coroutine functions; what they take, return and raise is passed through untouched. What could not be
    delivered in time stays in the journal, and the next call or the next process on the same folder delivers it.

    Args:
        function: The handler.
        timeout: Seconds that delivering may take at most. Where an argument has ``get_remaining_time_in_millis``,
            as Lambda's context has, never more than 0.2 seconds less than that.

    Raises:
        ConfigurationError: The timeout is negative or no number.
        TypeError: The function is a generator function, which returns before its body has run.

    """
    if not isinstance(timeout, (int, float)) or not 0 <= timeout < float("inf"):
        raise ConfigurationError(f"timeout is {timeout!r}; it must be a number of seconds, 0 or more.")
    if function is None:
        return lambda found: _wrap(found, timeout)
    return _wrap(function, timeout)


def _wrap(function: Callable[..., Any], timeout: float) -> Callable[..., Any]:
    if inspect.isgeneratorfunction(function) or inspect.isasyncgenfunction(function):
        raise TypeError(
            f"{function.__qualname__} is a generator function, which returns before its body has run. "
            "Call lai.flush(timeout) in a finally block at the end of its body instead."
        )
    if inspect.iscoroutinefunction(function):

        @functools.wraps(function)
        async def flushing_async(*args: Any, **kwargs: Any) -> Any:
            import asyncio  # not at the top: a program without coroutines has no use for its 3 MB

            try:
                return await function(*args, **kwargs)
            finally:
                # In a thread: other tasks of the loop may have to go on for the spans to end.
                await asyncio.to_thread(_flush, _time_left(timeout, (*args, *kwargs.values())))

        return flushing_async

    @functools.wraps(function)
    def flushing(*args: Any, **kwargs: Any) -> Any:
        try:
            return function(*args, **kwargs)
        finally:
            _flush(_time_left(timeout, (*args, *kwargs.values())))

    return flushing


def _flush(timeout: float) -> None:
    with guarded("flush_on_return"):
        flush(timeout)


def _time_left(timeout: float, arguments: tuple[Any, ...]) -> float:
    with guarded("flush_on_return"):
        argument: Any
        for argument in arguments:
            # Looked up on the type: an argument that answers to every name is no context.
            if callable(getattr(type(argument), "get_remaining_time_in_millis", None)):
                left = float(argument.get_remaining_time_in_millis()) / 1000 - _MARGIN
                return max(0.0, min(timeout, left))
    return timeout
