"""Where a span starts: below which of the open ones, and in whose trace."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

from opentelemetry import context as otel_context
from opentelemetry import trace
from opentelemetry.context import Context
from opentelemetry.trace import Link, Span, SpanContext

from lucidic import _bound
from lucidic._spans._peers import BESIDE_KEY, meant_by, stands_beside
from lucidic._spans._state import HERE_KEY, SpanState, TraceState, is_open, state_of


if TYPE_CHECKING:
    from lucidic._spans._live import LiveSpan


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


class Place(NamedTuple):
    """Where a span starts."""

    parent: SpanState | None
    moved: bool = False
    """OpenTelemetry's parent is another tracer's span, so that both are one trace; in our copy there is none."""
    trace: TraceState | None = None
    """The trace that it is in then, where our processor sees it."""

    @property
    def trace_state(self) -> TraceState:
        """The trace of the span, or a new one."""
        if self.parent is not None:
            return self.parent.trace
        return TraceState() if self.trace is None else self.trace


def pass_over_others(values: dict[str, Any]) -> Place:
    """Find the parent where another tracer's span may be current that stands beside one of ours."""
    span = values.get(_bound.SPAN_KEY)
    state = state_of(span)
    passed = values.pop(BESIDE_KEY, False) or stands_beside(span)
    parent = meant_by(state, values) if passed else state
    if parent is not None:
        if parent is not state or is_open(parent.span):
            values[_bound.SPAN_KEY] = parent.span  # an adapter's own object may stand for it
        return Place(_pass_over_stale_span(values))
    if passed and not is_open(span):
        values[_bound.SPAN_KEY] = trace.INVALID_SPAN
        return Place(None)
    return Place(None, moved=passed, trace=None if state is None else state.trace)


def beneath(context: Context) -> Context:
    """Return the context to attach for the code below a span of ours, given the span's own context.

    Another tracer's span for the same work stays the current one: that tracer looks for it there, and what the user
    opens below it is exported by it as without us. Our own tree goes by what the context says beside it.
    """
    theirs = otel_context.get_current().get(_bound.SPAN_KEY)
    ours = context.get(HERE_KEY)
    if not (stands_beside(theirs) and is_open(theirs) and isinstance(ours, SpanState)):
        return context
    state = state_of(theirs)
    above = None if state is None else state.below_ours()
    if (above is None or ours.is_inside(above)) and theirs.get_span_context().trace_id == _trace_id(ours):
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
    step = state = state_of(values.get(_bound.SPAN_KEY))
    while step is not None and not is_open(step.span):
        step = step.parent
    if step is None or step is state:
        return state
    values[_bound.SPAN_KEY] = step.span
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
