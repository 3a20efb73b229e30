"""The scope object: ``with``, ``async with`` and decorator over one binding.

A scope can be entered twice, shared between tasks, and closed in another context than it was entered
in; in a notebook it displays its session. Leaving it never raises and never logs.
"""

from __future__ import annotations

import functools
import inspect
import threading
from collections.abc import Callable, Coroutine, Mapping
from contextvars import Context, copy_context
from types import TracebackType
from typing import TYPE_CHECKING, Any, Generic, ParamSpec, TypeVar

from opentelemetry import trace
from opentelemetry.trace import Span, SpanContext

from lucidic import _binding, _bound
from lucidic._bound import Binding
from lucidic._drive import InContext, drive
from lucidic._spans._peers import current_state
from lucidic._spans._processor import stamp_server_ancestors
from lucidic._spans._state import is_open


if TYPE_CHECKING:
    from lucidic._view._notebook import SessionView

_P = ParamSpec("_P")
_R = TypeVar("_R")
_T = TypeVar("_T")
_C = TypeVar("_C")


def bind_here(
    session_id: str | None,
    *,
    scope: object = None,
    manual: bool = False,
    neutral: bool = False,
    owned: bool = True,
    values: Mapping[str, object] | None = None,
) -> Binding:
    """Bind a session in the current context; leave the current span if its trace is another session's."""
    replaced = values is not None and _bound.SPAN_KEY in values
    state = None if replaced else current_state(_binding.cleaned())
    inside: Span | None = None
    left: SpanContext | None = None
    if not replaced and state is not current_state():  # a suspended generator has left another one current
        inside = trace.INVALID_SPAN if state is None or not is_open(state.span) else state.span
    if state is not None and session_id is not None:
        if state.trace.session_id is None:
            state.trace.session_id = session_id
            stamp_server_ancestors(state, session_id)
        if state.trace.session_id != session_id:
            inside, left = trace.INVALID_SPAN, state.span.get_span_context()
    return _binding.bind(
        session_id,
        made_in=state,
        inside=inside,
        left=left,
        scope=scope,
        manual=manual,
        neutral=neutral,
        owned=owned,
        values=values,
    )


class Entering(Generic[_T]):
    """What entering a scope does."""

    __slots__ = ("neutral", "opened", "session_id", "value", "values")

    def __init__(
        self,
        value: _T,
        session_id: str | None,
        *,
        opened: bool = False,
        neutral: bool = False,
        values: Mapping[str, object] | None = None,
    ) -> None:
        self.value = value
        """What ``with … as`` gives."""
        self.session_id = session_id
        self.opened = opened
        """This entering holds the session open, so leaving it lets go of it."""
        self.neutral = neutral
        """Only ``values`` are set; the session stays as it is."""
        self.values = values
        """Keys for OpenTelemetry's context."""


class Entry:
    """One entering of a scope that has not been left yet."""

    __slots__ = ("binding", "opened")

    def __init__(self, binding: Binding, *, opened: bool) -> None:
        self.binding = binding
        self.opened = opened


class Scope(Generic[_T]):
    """A block of work in a context of its own.

    Use it as ``with scope as value:``, as ``async with scope as value:`` or as a decorator of a function,
    coroutine function, generator function or async generator function. Each entering is counted on its
    own, so it may be entered twice and shared between tasks.
    """

    def __init__(
        self,
        begin: Callable[[], Entering[_T]],
        finish: Callable[[str, BaseException | None], None] | None = None,
    ) -> None:
        self._begin = begin
        self._finish = finish
        self._entries: list[Entry] = []
        self._lock = threading.Lock()
        self._last: str | None = None
        """The session that was entered last."""

    def __repr__(self) -> str:
        if self._last is None:
            return f"<{type(self).__name__} without a session>"
        return f"<{type(self).__name__} of session {self._last!r}, {'open' if self._entries else 'left'}>"

    def _repr_pretty_(self, printer: Any, cycle: bool) -> None:
        printer.text(repr(self if self._last is None else _shown(self._last)))

    def _repr_html_(self) -> str | None:
        return None if self._last is None else _shown(self._last)._repr_html_()

    def __enter__(self) -> _T:
        entering = self._begin()
        binding = bind_here(entering.session_id, scope=self, neutral=entering.neutral, values=entering.values)
        with self._lock:
            self._entries.append(Entry(binding, opened=entering.opened))
            self._last = entering.session_id
        return entering.value

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        entry = self._take_entry()
        if entry is None:
            return
        _binding.unbind(entry.binding)
        self._let_go(entry, error)

    def _let_go(self, entry: Entry, error: BaseException | None) -> None:
        if entry.opened and entry.binding.session_id is not None and self._finish is not None:
            self._finish(entry.binding.session_id, error)

    async def __aenter__(self) -> _T:
        return self.__enter__()

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.__exit__(kind, error, traceback)

    def __call__(self, function: Callable[_P, _R]) -> Callable[_P, _R]:
        """Decorate a function: each call, and each step of a generator, runs inside the scope."""
        return in_scope(self, function)

    def enter_for_call(self, _args: object, _kwargs: object) -> Callable[..., None]:
        """Enter, and return what leaves."""
        self.__enter__()
        return self.__exit__

    def leave_to(self, coroutine: Coroutine[Any, Any, _C]) -> Coroutine[Any, Any, _C]:
        """Leave here, and give what was entered to a coroutine that has not begun: it ends with that."""
        context, entry = copy_context(), self._take_entry()
        if entry is not None:
            _binding.unbind(entry.binding)
        return self._within(context, coroutine, entry)

    async def _within(self, context: Context, coroutine: Coroutine[Any, Any, _C], entry: Entry | None) -> _C:
        failure: BaseException | None = None
        try:
            return await InContext(context, coroutine)
        except BaseException as error:
            failure = error
            raise
        finally:
            if entry is not None:
                self._let_go(entry, failure)

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


SessionScope = Scope[str]
"""A block of work that belongs to one session; ``with`` gives the session's id."""


def _shown(session_id: str) -> SessionView:
    from lucidic._view import read_session

    return read_session(session_id, begins=session_id)


def in_scope(scope: Scope[Any], function: Callable[_P, _R]) -> Callable[_P, _R]:
    """Wrap ``function`` so that its work runs inside ``scope``, whatever kind of function it is."""
    # Also an object whose ``__call__`` is one: its body runs when it is awaited.
    if inspect.iscoroutinefunction(function) or inspect.iscoroutinefunction(type(function).__call__):

        @functools.wraps(function)
        async def coroutine(*args: _P.args, **kwargs: _P.kwargs) -> Any:
            async with scope:
                running: Any = function(*args, **kwargs)
                return await running

        return coroutine  # type: ignore[return-value]  # the same kind of function
    if inspect.isgeneratorfunction(function) or inspect.isasyncgenfunction(function):
        made: Callable[_P, _R] = drive(function, copy_context, scope.enter_for_call)
        return made

    @functools.wraps(function)
    def plain(*args: _P.args, **kwargs: _P.kwargs) -> _R:
        scope.__enter__()
        try:
            result: Any = function(*args, **kwargs)
        except BaseException as error:
            scope.__exit__(type(error), error, error.__traceback__)
            raise
        if inspect.iscoroutine(result):
            return scope.leave_to(result)  # type: ignore[return-value]  # the same: something to await
        scope.__exit__(None, None, None)
        return result  # type: ignore[no-any-return]

    return plain
