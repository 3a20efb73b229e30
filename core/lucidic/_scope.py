"""The scope object: ``with``, ``async with`` and decorator over one session binding.

A scope can be entered twice, shared between tasks, and closed in another context than it was entered
in. Leaving it never raises and never logs.
"""

from __future__ import annotations

import contextlib
import functools
import inspect
import threading
from collections.abc import AsyncGenerator, Callable, Generator, Mapping
from contextvars import Context, copy_context
from types import TracebackType
from typing import Any, Generic, ParamSpec, TypeVar

from lucidic import _binding
from lucidic._binding import Binding
from lucidic._spans._state import current_state


_P = ParamSpec("_P")
_R = TypeVar("_R")
_T = TypeVar("_T")


def bind_here(
    session_id: str | None,
    *,
    scope: object = None,
    manual: bool = False,
    values: Mapping[str, object] | None = None,
) -> Binding:
    """Bind a session in the current context; leave the current span if its trace is another session's."""
    state = current_state()
    split = False
    if state is not None and session_id is not None:
        if state.trace.session_id is None:
            state.trace.session_id = session_id
        split = state.trace.session_id != session_id
    return _binding.bind(session_id, made_in=state, split=split, scope=scope, manual=manual, values=values)


class Entry:
    """One entering of a scope."""

    __slots__ = ("binding", "opened")

    def __init__(self, binding: Binding, *, opened: bool) -> None:
        self.binding = binding
        self.opened = opened
        """This entering opened the session, so leaving it ends the session."""


class SessionScope:
    """A block of work that belongs to one session.

    Use it as ``with scope as session_id:``, as ``async with scope as session_id:`` or as a decorator of
    a function, coroutine function, generator function or async generator function. Each entering is
    counted on its own.
    """

    def __init__(
        self,
        begin: Callable[[], tuple[str, bool]],
        finish: Callable[[str, BaseException | None], None],
        *,
        values: Mapping[str, object] | None = None,
    ) -> None:
        self._begin = begin
        self._finish = finish
        self._values = values
        self._entries: list[Entry] = []
        self._lock = threading.Lock()

    def __enter__(self) -> str:
        session_id, opened = self._begin()
        entry = Entry(bind_here(session_id, scope=self, values=self._values), opened=opened)
        with self._lock:
            self._entries.append(entry)
        return session_id

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        entry = self._take_entry()
        if entry is None:
            return
        _binding.unbind(entry.binding)
        if entry.opened and entry.binding.session_id is not None:
            self._finish(entry.binding.session_id, error)

    async def __aenter__(self) -> str:
        return self.__enter__()

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.__exit__(kind, error, traceback)

    def __call__(self, function: Callable[_P, _R]) -> Callable[_P, _R]:
        """Decorate a function: each call, and each step of a generator, runs inside the scope."""
        return in_scope(self, function)

    def _take_entry(self) -> Entry | None:
        """Take the entry that this exit belongs to: the innermost of this context, else a left-over.

        An exit in a context that never entered is a generator closed elsewhere; its entry is the
        oldest one that is still open.
        """
        here = _binding.find(self)
        with self._lock:
            for index in range(len(self._entries) - 1, -1, -1):
                if self._entries[index].binding is here:
                    return self._entries.pop(index)
            return self._entries.pop(0) if here is None and self._entries else None


def in_scope(scope: SessionScope, function: Callable[_P, _R]) -> Callable[_P, _R]:
    """Wrap ``function`` so that its work runs inside ``scope``, whatever kind of function it is."""
    if inspect.iscoroutinefunction(function):

        @functools.wraps(function)
        async def coroutine(*args: _P.args, **kwargs: _P.kwargs) -> Any:
            async with scope:
                return await function(*args, **kwargs)

        return coroutine  # type: ignore[return-value]  # the same kind of function
    if inspect.isgeneratorfunction(function):

        @functools.wraps(function)
        def generator(*args: _P.args, **kwargs: _P.kwargs) -> Any:
            return _drive(scope, lambda: function(*args, **kwargs))

        return generator
    if inspect.isasyncgenfunction(function):

        @functools.wraps(function)
        def async_generator(*args: _P.args, **kwargs: _P.kwargs) -> Any:
            return _drive_async(scope, lambda: function(*args, **kwargs))

        return async_generator

    @functools.wraps(function)
    def plain(*args: _P.args, **kwargs: _P.kwargs) -> _R:
        with scope:
            return function(*args, **kwargs)

    return plain


def _leave(context: Context, scope: SessionScope, error: BaseException | None) -> None:
    context.run(scope.__exit__, None if error is None else type(error), error, None)


def _drive(scope: SessionScope, start: Callable[[], Any]) -> Generator[Any, Any, Any]:
    """Run each step of a generator in a context of its own, so that nothing leaks to the consumer."""
    context = copy_context()
    context.run(scope.__enter__)
    failure: BaseException | None = None
    try:
        inner = context.run(start)
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
    except GeneratorExit:
        raise
    except BaseException as error:
        failure = error
        raise
    finally:
        _leave(context, scope, failure)


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
                step = (
                    functools.partial(steps.send, sent)
                    if hasattr(steps, "send")
                    else functools.partial(next, steps)
                )


async def _drive_async(scope: SessionScope, start: Callable[[], Any]) -> AsyncGenerator[Any, Any]:
    context = copy_context()
    context.run(scope.__enter__)
    failure: BaseException | None = None
    try:
        inner = context.run(start)
        try:
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
        finally:
            with contextlib.suppress(RuntimeError):  # already running: it closes itself
                await InContext(context, inner.aclose())
    except GeneratorExit:
        raise
    except BaseException as error:
        failure = error
        raise
    finally:
        _leave(context, scope, failure)
