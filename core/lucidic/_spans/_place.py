"""Where a span starts: below which of the open ones, and in whose trace."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from opentelemetry import trace
from opentelemetry.context import Context
from opentelemetry.trace import Link, Span, SpanContext

from lucidic import _binding
from lucidic._spans._state import HERE_KEY, SpanState, TraceState, is_open, meant_by, state_of


if TYPE_CHECKING:
    from lucidic._spans._tracer import LiveSpan


def left_link(context: SpanContext) -> Link:
    """Return the link to the span that a block of another session left."""
    return Link(context, {"lucidic.link": "left_session"})


def must_split(trace_state: TraceState | None, session_id: str | None) -> bool:
    """One trace, one session: a span of another session starts a trace of its own."""
    return (
        trace_state is not None
        and session_id is not None
        and trace_state.session_id is not None
        and trace_state.session_id != session_id
    )


def pass_over_others(values: dict[str, Any]) -> tuple[SpanState | None, SpanState | None]:
    """Find the parent where another tracer's span may be current that stands beside one of ours.

    Returns the state of the parent, and that of the other tracer's span where nothing else is above: OpenTelemetry's
    parent is that one then, so that both are one trace, and in our copy there is none.
    """
    state = state_of(values.get(_binding.SPAN_KEY))
    if state is None:
        return None, None
    meant = meant_by(state, values) if state.beside else state
    if meant is not None:
        if meant is not state or is_open(meant.span):
            values[_binding.SPAN_KEY] = meant.span  # an adapter's own object may stand for it
        return _pass_over_stale_span(values), None
    if is_open(state.span):
        return None, state
    values[_binding.SPAN_KEY] = trace.INVALID_SPAN
    return None, None


def beneath(context: Context) -> Context:
    """Return the context to attach for the code below a span of ours, given the span's own context.

    Another tracer's span for the same work stays the current one: that tracer looks for it there, and what the user
    opens below it is exported by it as without us. Our own tree goes by what the context says beside it.
    """
    theirs = trace.get_current_span()
    state, ours = state_of(theirs), context.get(HERE_KEY)
    if state is None or not state.beside or not is_open(theirs) or not isinstance(ours, SpanState):
        return context
    above = state.below_ours()
    if (above is None or ours.is_inside(above)) and _trace_id(state) == _trace_id(ours):
        return trace.set_span_in_context(theirs, context)
    return context


def _trace_id(state: SpanState) -> int | None:
    context = state.span.get_span_context()
    return None if context is None else context.trace_id


def _pass_over_stale_span(values: dict[str, Any]) -> SpanState | None:
    """Pass over an ended current span: a generator was closed elsewhere and left it behind.

    Only where an open span above it is known; a task that outlives its parent keeps it. Returns the state of the
    span that is current then.
    """
    step = state = state_of(values.get(_binding.SPAN_KEY))
    while step is not None and not is_open(step.span):
        step = step.parent
    if step is None or step is state:
        return state
    values[_binding.SPAN_KEY] = step.span
    return step


def deepest(*candidates: LiveSpan | Span | None) -> Span | None:
    """Return the span that lies below the others in the tree; an open span beats an ended one."""
    best: SpanState | None = None
    found: Span | None = None
    for candidate in candidates:
        span = getattr(candidate, "span", candidate)
        state = None if span is None else state_of(span)
        if state is not None and is_open(state.span) and (best is None or state.is_inside(best)):
            best, found = state, state.span
    return found
