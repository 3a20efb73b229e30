"""What is decided about a span that starts: whose session it is, and what it gets for it."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, Final

from openinference.semconv.trace import SpanAttributes
from opentelemetry import context as otel_context
from opentelemetry import trace
from opentelemetry.context import Context
from opentelemetry.sdk.trace import Span
from opentelemetry.trace import SpanContext

from lucidic import _binding, _bound
from lucidic._bound import Ambient
from lucidic._ids import framework_id
from lucidic._sdk import raw_attributes
from lucidic._spans import _attributes as keys
from lucidic._spans._correlation import Decision, FrameworkID, SessionFrom
from lucidic._spans._decide import decide
from lucidic._spans._peers import current_state, is_beside, meant_by, stands_beside
from lucidic._spans._state import SpanState, TraceState, state_of
from lucidic._suspended import holder_here, runs_here


PLAN_KEY: Final = "lucidic.plan"
"""Context key under which our own tracer hands its decision to the processor."""

_CONTEXT_ATTRIBUTES = (SpanAttributes.USER_ID, SpanAttributes.METADATA, SpanAttributes.TAG_TAGS)
"""What ``using_attributes`` puts on every span; context keys and attributes have the same names."""
MODEL_CALL_ATTRIBUTES = (
    *_CONTEXT_ATTRIBUTES,
    SpanAttributes.LLM_PROMPT_TEMPLATE,
    SpanAttributes.LLM_PROMPT_TEMPLATE_VERSION,
    SpanAttributes.LLM_PROMPT_TEMPLATE_VARIABLES,
)
"""What ``using_attributes`` puts on model calls."""


class Plan:
    """What was decided about a span that starts; by our own tracer, before it is made."""

    __slots__ = ("attributes", "decision", "state")

    def __init__(self, state: SpanState, decision: Decision, attributes: dict[str, Any]) -> None:
        self.state = state
        self.decision = decision
        self.attributes = attributes
        """What the processor puts on it."""


def plan_foreign(
    span: Span,
    context: Context,
    *,
    init_ids: Callable[[], tuple[str, ...]],
    session_from: SessionFrom,
) -> Plan:
    """Decide about a span that other code starts: its parent is given, whatever it is."""

    def decided(context: Context, parent: SpanState | None) -> tuple[Decision, Ambient]:
        found = _explicit_id(span)
        return decide(context, parent, init_ids=init_ids, framework=found, session_from=session_from)

    beside = is_beside(span, context)
    parent, moved = _parent_of(span, context, beside=beside)
    enclosing = parent
    is_current = context is otel_context.get_current()  # before the look around, which may settle it
    decision, around = decided(context, parent)
    if is_current and (around.generator is not None or _binding.has_left_a_span(context)):
        # OpenTelemetry took the current span for the parent; a suspended generator may have left it current.
        meant = _binding.cleaned()
        if (enclosing := current_state(meant)) is not parent:
            decision, around = decided(meant, enclosing)
    trace_state = TraceState() if parent is None else parent.trace
    session_id = decision.session_id
    astray = parent is not None and parent.astray
    if trace_state.session_id not in (None, session_id):
        # The parent is given and cannot be changed here: one trace keeps one session.
        if enclosing is not parent or _is_of_suspended(parent):
            astray = True
        elif session_id is not None:
            decision = Decision(trace_state.session_id, "parent", unused=decision.unused)
    if astray:
        decision = Decision(None, unused=decision.unused)
    left = context.get(_bound.LEFT_KEY)
    if span.parent is None and isinstance(left, SpanContext):
        span.add_link(left, {"lucidic.link": "left_session"})
    state = SpanState(
        session_id=decision.session_id, parent=parent, trace_state=trace_state, keyed=around.keyed
    )
    state.astray, state.beside, state.moved = astray, beside, moved
    if beside:
        state.around = current_state()
    if around.generator is not None:
        state.generator = around.generator
    if decision.source == "bound" and around.binding is None:
        state.holder = holder_here()  # a block of others
    kind = raw_attributes(span).get(SpanAttributes.OPENINFERENCE_SPAN_KIND)
    state.blocks = set_by_blocks(decision, around, context, parent)
    given = session_attributes(decision, kind, raw_attributes(span), state.blocks)
    return Plan(state, decision, given)


def _parent_of(span: Span, context: Context, *, beside: bool) -> tuple[SpanState | None, bool]:
    """Return what a span hangs below in our copy, and whether that is not what OpenTelemetry says.

    Where the current span is another tracer's, for what an adapter of ours traces as well, it is ours for that.
    """
    here = trace.get_current_span(context)
    above = state_of(here)
    passed = not beside and stands_beside(here)
    parent = meant_by(above, context) if passed else above
    if parent is not None and not _same_trace(parent, span):
        parent = above if above is not None and _same_trace(above, span) else None
    return parent, passed or (not beside and above is not None and not _is_parent(above, span))


def set_by_blocks(
    decision: Decision, around: Ambient, context: Mapping[str, object], parent: SpanState | None
) -> Mapping[str, Any]:
    """Return what the blocks of a span that starts set besides the session.

    A span that has its parent's session, where another one's block is around it or none, has what its parent had: it
    is of a stream, say, that is consumed elsewhere, and another user's id would be wrong.
    """
    if parent is None or decision.source != "parent":
        return _binding.attributes(MODEL_CALL_ATTRIBUTES, context, around.generator)
    if around.session_id in (None, decision.session_id):
        found = _binding.attributes(MODEL_CALL_ATTRIBUTES, context, around.generator)
    else:
        found = _set_inside(parent)
    above: SpanState | None = parent
    while above is not None and above.blocks is None:
        above = above.parent
    known = None if above is None else above.blocks
    return {**known, **found} if known else found


def _set_inside(parent: SpanState) -> dict[str, Any]:
    """Return what blocks without a session of their own set that were entered inside a span."""
    found: dict[str, Any] = {}
    block = _binding.held()
    while block is not None and block.neutral:
        if block.made_in is not None and block.made_in.is_inside(parent) and not block.is_dead_here():
            found = {**block.values, **found}
        block = block.previous
    return {name: found[name] for name in MODEL_CALL_ATTRIBUTES if name in found} if found else found


def session_attributes(
    decision: Decision, kind: object, own: Mapping[str, Any], blocks: Mapping[str, Any]
) -> dict[str, Any]:
    """Return what a span gets at its start: the ids, and what blocks set.

    Args:
        decision: Whose session it is.
        kind: The span's OpenInference kind.
        own: What the span says itself; it is nearer and counts.
        blocks: What blocks set; some of it is for model calls only.

    """
    attributes: dict[str, Any] = {}
    if blocks:
        names = MODEL_CALL_ATTRIBUTES if kind == "LLM" else _CONTEXT_ATTRIBUTES
        attributes = {name: blocks[name] for name in names if name in blocks and name not in own}
    for unused in decision.unused:
        attributes.setdefault(f"{keys.INNER_ID}.{unused.source}", unused.value)
    if decision.session_id is not None:
        attributes[keys.SESSION_SOURCE] = source_of(decision)
        attributes.update(dict.fromkeys(keys.SESSION_KEYS, decision.session_id))
    return attributes


def source_of(decision: Decision) -> str:
    """Return the rule, or the framework's key, that named the session."""
    return decision.framework.source if decision.framework is not None else str(decision.source)


def _same_trace(parent: SpanState, span: Span) -> bool:
    context = parent.span.get_span_context()
    return context is not None and context.trace_id == span.context.trace_id


def _is_parent(above: SpanState, span: Span) -> bool:
    context = above.span.get_span_context()
    return context is None or span.parent is None or context.span_id == span.parent.span_id


def _is_of_suspended(state: SpanState | None) -> bool:
    """Tell whether a span's session was named by a block of others in a generator that does not run here."""
    while state is not None and state.holder is None:
        state = state.parent
    return state is not None and state.holder is not None and not runs_here(state.holder)


def _explicit_id(span: Span) -> tuple[FrameworkID, ...]:
    """An id that plain code gave a root span as an attribute names the session like a framework's id."""
    attributes = span.attributes
    if not attributes:
        return ()
    for key in (keys.LUCIDIC_SESSION_ID, keys.SESSION_ID):
        if (value := framework_id(attributes.get(key))) is not None:
            return (FrameworkID(value, f"attribute.{key}"),)
    return ()
