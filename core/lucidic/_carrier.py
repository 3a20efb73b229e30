"""Take a session where no context goes: to queues, workers and other processes."""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable, Coroutine, Mapping, MutableMapping
from contextvars import Context, copy_context
from typing import ParamSpec, TypeVar

from opentelemetry import baggage, trace
from opentelemetry.baggage.propagation import W3CBaggagePropagator
from opentelemetry.context import Context as OtelContext
from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator

from lucidic import _binding, _bound
from lucidic._active import current_session_id
from lucidic._drive import InContext, drive
from lucidic._ids import framework_id
from lucidic._runtime import runtime
from lucidic._scope import Entering, Scope, bind_here


_P = ParamSpec("_P")
_R = TypeVar("_R")
_traces = TraceContextTextMapPropagator()
_baggage = W3CBaggagePropagator()


def bind(function: Callable[_P, _R]) -> Callable[_P, _R]:
    """Capture the current context, and run ``function`` in a copy of it at every call.

    For what runs later, elsewhere: a queue's consumer, a long-lived worker, a callback. Session, current span and
    every other context variable are as they are here and now, also if the block that bound the session has been
    left meanwhile. Works for sync, coroutine, generator and async generator functions.
    """
    captured = copy_context()
    captured.run(_keep)
    if inspect.isgeneratorfunction(function) or inspect.isasyncgenfunction(function):
        made: Callable[_P, _R] = drive(function, captured.copy, lambda *_: _nothing)
        return made
    if inspect.iscoroutinefunction(function):

        @functools.wraps(function)
        async def coroutine(*args: _P.args, **kwargs: _P.kwargs) -> object:
            return await _in(captured.copy(), function, *args, **kwargs)

        return coroutine  # type: ignore[return-value]  # the same kind of function

    @functools.wraps(function)
    def plain(*args: _P.args, **kwargs: _P.kwargs) -> _R:
        context = captured.copy()
        result = context.run(function, *args, **kwargs)
        # A lambda's, for example: its body runs when it is awaited.
        return _await_in(context, result) if inspect.iscoroutine(result) else result  # type: ignore[return-value]

    return plain


async def _await_in(context: Context, coroutine: Coroutine[object, object, object]) -> object:
    return await InContext(context, coroutine)


def _in(
    context: Context, function: Callable[..., object], *args: object, **kwargs: object
) -> InContext[object]:
    return InContext(context, context.run(function, *args, **kwargs))


def _keep() -> None:
    """Bind what is bound once more, as a binding that nobody closes."""
    around = _binding.ambient()
    if around.binding is not None:
        bind_here(around.session_id, owned=False)


def _nothing(*_: object) -> None:
    """Enter and leave nothing."""


def inject(carrier: MutableMapping[str, str]) -> None:
    """Write the current span and session into a carrier: HTTP headers, or a message's attributes.

    ``traceparent`` is W3C's; the session travels as ``session.id`` in W3C's ``baggage``, which other OpenTelemetry
    processes read too.
    """
    context = _binding.cleaned()
    session_id = current_session_id()
    if session_id is not None:
        context = baggage.set_baggage(_bound.SESSION_KEY, session_id, context)
    _traces.inject(carrier, context)
    _baggage.inject(carrier, context)


def extract(carrier: Mapping[str, str]) -> Scope[str | None]:
    """Return a block that belongs to the session, and hangs below the span, of a carrier.

    ``with lai.extract(message.headers) as session_id:``; also a decorator, also ``async with``. A carrier without a
    session gives ``None``, and no session inside the block rather than a wrong one. Header names are read in any
    case.
    """
    read = {str(key).lower(): value for key, value in carrier.items()}
    remote = _baggage.extract(read, _traces.extract(read, OtelContext()))
    session_id = framework_id(baggage.get_baggage(_bound.SESSION_KEY, remote))
    span = trace.get_current_span(remote)
    values: dict[str, object] = dict(remote)
    if span.get_span_context().is_valid:
        values[_bound.SPAN_KEY] = span
    else:
        values.pop(_bound.SPAN_KEY, None)

    def begin() -> Entering[str | None]:
        runtime().provider()
        inherits_none = session_id is None and _binding.ambient().session_id is None
        return Entering(session_id, session_id, neutral=inherits_none, values=values)

    return Scope(begin)
