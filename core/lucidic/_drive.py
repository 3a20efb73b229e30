"""Drive generators and coroutines step by step inside a context of their own.

A generator that holds a context across a ``yield`` would leave it to its consumer, and take the
consumer's at the next step.
"""

from __future__ import annotations

import contextlib
import functools
import inspect
from collections.abc import AsyncGenerator, Callable, Generator
from contextvars import Context
from types import TracebackType
from typing import Any, Generic, TypeVar


_T = TypeVar("_T")

Leave = Callable[[type[BaseException] | None, BaseException | None, TracebackType | None], None]
Enter = Callable[[tuple[Any, ...], dict[str, Any]], Leave]
"""Takes a call's arguments, and returns what to call when its iteration is over."""


def drive(
    function: Callable[..., Any], make_context: Callable[[], Context], enter: Enter
) -> Callable[..., Any]:
    """Wrap a generator function or async generator function; the wrapper is of the same kind.

    Each iteration gets its own context: ``enter`` runs in it first, every step of the body runs in it, and
    what ``enter`` returned runs in it last, with the body's exception if there was one.
    """
    if inspect.isasyncgenfunction(function):
        return _drive_async(function, make_context, enter)

    @functools.wraps(function)
    def generator(*args: Any, **kwargs: Any) -> Generator[Any, Any, Any]:
        context = make_context()
        leave = context.run(enter, args, kwargs)
        failure: BaseException | None = None
        try:
            return (yield from _steps(context, context.run(function, *args, **kwargs)))
        except GeneratorExit:
            raise
        except BaseException as error:
            failure = error
            raise
        finally:
            context.run(leave, None if failure is None else type(failure), failure, None)

    return generator


def _steps(context: Context, inner: Any) -> Generator[Any, Any, Any]:
    step: Callable[[], Any] = functools.partial(next, inner)
    while True:
        try:
            value = context.run(step)
        except StopIteration as stop:
            return stop.value
        try:
            sent = yield value
        except GeneratorExit:
            context.run(inner.close)
            raise
        except BaseException as error:  # noqa: BLE001  # handed to the generator, as yield from does
            step = functools.partial(inner.throw, error)
        else:
            step = functools.partial(inner.send, sent)


class InContext(Generic[_T]):
    """Await something whose every step runs in ``context``, within the same task.

    ``asyncio.create_task(…, context=…)`` would change the task, and is not there on Python 3.10.
    """

    __slots__ = ("_awaitable", "_context")

    def __init__(self, context: Context, awaitable: Any) -> None:
        self._context = context
        self._awaitable = awaitable

    def __await__(self) -> Generator[Any, Any, _T]:
        steps = self._context.run(self._awaitable.__await__)
        step: Callable[[], Any] = functools.partial(next, steps)
        while True:
            try:
                value = self._context.run(step)
            except StopIteration as stop:
                result: _T = stop.value
                return result
            try:
                sent = yield value
            except GeneratorExit:
                self._context.run(steps.close)
                raise
            except BaseException as error:  # noqa: BLE001  # handed on: cancellation arrives here
                step = functools.partial(steps.throw, error)
            else:
                sends = hasattr(steps, "send")
                step = functools.partial(steps.send, sent) if sends else functools.partial(next, steps)


def _drive_async(
    function: Callable[..., Any], make_context: Callable[[], Context], enter: Enter
) -> Callable[..., AsyncGenerator[Any, Any]]:
    @functools.wraps(function)
    async def generator(*args: Any, **kwargs: Any) -> AsyncGenerator[Any, Any]:
        context = make_context()
        leave = context.run(enter, args, kwargs)
        failure: BaseException | None = None
        inner: Any = None
        try:
            inner = context.run(function, *args, **kwargs)
            step: Any = inner.__anext__
            while True:
                try:
                    value: Any = await InContext(context, step())
                except StopAsyncIteration:
                    return
                try:
                    sent = yield value
                except GeneratorExit:
                    raise
                except BaseException as error:  # noqa: BLE001  # handed to the generator
                    step = functools.partial(inner.athrow, error)
                else:
                    step = functools.partial(inner.asend, sent)
        except GeneratorExit:
            raise
        except BaseException as error:
            failure = error
            raise
        finally:
            if inner is not None:
                with contextlib.suppress(RuntimeError):  # already running: it closes itself
                    await InContext(context, inner.aclose())
            context.run(leave, None if failure is None else type(failure), failure, None)

    return generator
