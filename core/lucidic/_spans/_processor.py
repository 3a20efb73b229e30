"""The stamping processor: session ids on every span of a provider, foreign ones too."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final, Protocol
from weakref import WeakValueDictionary

from openinference.semconv.trace import SpanAttributes
from opentelemetry import context as otel_context
from opentelemetry import trace
from opentelemetry.context import _SUPPRESS_INSTRUMENTATION_KEY, Context
from opentelemetry.sdk.trace import Event, ReadableSpan, Span, SpanProcessor
from opentelemetry.trace import Link, SpanContext, SpanKind, Status
from typing_extensions import override

from lucidic import _binding, _bound
from lucidic._bound import Ambient, Binding
from lucidic._guard import swallow
from lucidic._ids import UNKNOWN, framework_id
from lucidic._sdk import put_attributes, raw_attributes
from lucidic._spans import _attributes as keys
from lucidic._spans._correlation import Decision, FrameworkID, SessionFrom
from lucidic._spans._decide import decide
from lucidic._spans._privacy import Privacy
from lucidic._spans._roots import mark_local_root, tell_root, with_what_was_told
from lucidic._spans._state import SpanState, TraceState, current_state, is_open, remember, state_of
from lucidic._spans._tokens import counted_above, has_tokens, without_tokens
from lucidic._suspended import holder_here, runs_here


PLAN_KEY: Final = "lucidic.plan"
"""Context key under which our own tracer hands its decision to the processor."""

_CONTEXT_ATTRIBUTES = (SpanAttributes.USER_ID, SpanAttributes.METADATA, SpanAttributes.TAG_TAGS)
"""What ``using_attributes`` puts on every span; context keys and attributes have the same names."""
_MODEL_CALL_ATTRIBUTES = (
    *_CONTEXT_ATTRIBUTES,
    SpanAttributes.LLM_PROMPT_TEMPLATE,
    SpanAttributes.LLM_PROMPT_TEMPLATE_VERSION,
    SpanAttributes.LLM_PROMPT_TEMPLATE_VARIABLES,
)
"""What ``using_attributes`` puts on model calls."""


class Recorder(Protocol):
    """Where spans go: the exporter."""

    def span_started(self, span: ReadableSpan) -> None: ...
    def span_ended(self, span: ReadableSpan) -> None: ...


class Plan:
    """What was decided about a span that starts; by our own tracer, before it is made."""

    __slots__ = ("attributes", "decision", "state")

    def __init__(self, state: SpanState, decision: Decision, attributes: dict[str, Any]) -> None:
        self.state = state
        self.decision = decision
        self.attributes = attributes
        """What the processor puts on it."""


class StampProcessor(SpanProcessor):
    """Stamp session ids at span start, and hand finished spans to the exporter, masked."""

    def __init__(
        self,
        recorder: Recorder,
        *,
        privacy: Callable[[], Privacy],
        init_ids: Callable[[], tuple[str, ...]],
        session_from: Callable[[], SessionFrom],
        on_session: Callable[[str, str], None],
    ) -> None:
        self._recorder = recorder
        self._privacy = privacy
        self._init_ids = init_ids
        self._session_from = session_from
        self._on_session = on_session
        self.enabled = True
        self._open: WeakValueDictionary[int, SpanState] = WeakValueDictionary()

    @override
    def on_start(self, span: Span, parent_context: Context | None = None) -> None:
        if not self.enabled:
            return
        try:
            context = otel_context.get_current() if parent_context is None else parent_context
            if context.get(_SUPPRESS_INSTRUMENTATION_KEY):
                return
            plan = context.get(PLAN_KEY)
            if not isinstance(plan, Plan):
                plan = self._plan_foreign(span, context)
            self._stamp(span, plan, context)
            if not plan.state.provisional:
                self._recorder.span_started(span)
        except Exception as error:  # noqa: BLE001  # the guard's: nothing reaches the caller
            swallow("on_start", error)

    @override
    def on_end(self, span: ReadableSpan) -> None:
        try:
            if span.context is None:
                return
            state = self._open.pop(span.context.span_id, None)
            if state is None:
                return  # started before us, or under suppress_tracing
            # Both refer to the live span, which refers to its state: they would wait for the garbage collector.
            state.span, state.inside = span, None
            given = attributes = raw_attributes(span)
            if (changed := _with_one_id(attributes, state)) is not None:
                attributes = changed
            if has_tokens(attributes) and counted_above(state):
                attributes = without_tokens(attributes)
            privacy = state.privacy or self._privacy()
            if privacy.active:
                attributes = _private(attributes, state.masked, privacy)
                span = _private_copy(span, state.masked, privacy)
            if state.told:
                attributes = with_what_was_told(attributes, state)
            if attributes is not given:
                span = _copy(span, attributes=attributes)
            if state.parent is not None:
                tell_root(attributes, state)
            self._recorder.span_ended(span)
        except Exception as error:  # noqa: BLE001  # the guard's: nothing reaches the caller
            swallow("on_end", error)

    @override
    def shutdown(self) -> None:
        """Do nothing: the lifecycle manager shuts the exporter down, once for all providers."""

    @override
    def force_flush(self, timeout_millis: int = 30_000) -> bool:
        return True

    def open_spans(self) -> list[SpanState]:
        """Return the states of the spans that have not ended, the innermost last."""
        # Not values(): it walks the live dict, and other threads start and end spans meanwhile.
        states = [state for reference in self._open.valuerefs() if (state := reference()) is not None]
        return [state for state in states if is_open(state.span) and not state.provisional]

    def forked(self) -> None:
        """Forget the spans of the parent process in a forked child: the parent ends them."""
        self._open = WeakValueDictionary()

    def _plan_foreign(self, span: Span, context: Context) -> Plan:
        parent = enclosing = current_state(context)
        if parent is not None and not _same_trace(parent, span):
            parent = enclosing = None
        here = context is otel_context.get_current()
        decision, around = self._decide(span, context, parent)
        if here and (around.generator is not None or _binding.has_left_a_span(context)):
            # OpenTelemetry took the current span for the parent; a suspended generator may have left it current.
            meant = _binding.cleaned()
            if (enclosing := current_state(meant)) is not parent:
                decision, around = self._decide(span, meant, enclosing)
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
        state.astray = astray
        if around.generator is not None:
            state.generator = around.generator
        if decision.source == "bound" and around.binding is None:
            state.holder = holder_here()  # a block of others
        kind = raw_attributes(span).get(SpanAttributes.OPENINFERENCE_SPAN_KIND)
        given = session_attributes(decision, kind, raw_attributes(span), context, around.generator)
        return Plan(state, decision, given)

    def _decide(self, span: Span, context: Context, parent: SpanState | None) -> tuple[Decision, Ambient]:
        return decide(
            context,
            parent,
            init_ids=self._init_ids,
            framework=_explicit_id(span),
            session_from=self._session_from(),
        )

    def _stamp(self, span: Span, plan: Plan, context: Context) -> None:
        state = plan.state
        state.span = span
        remember(span, state)
        self._open[span.context.span_id] = state
        if state.parent is None:
            mark_local_root(state, context)
        put_attributes(span, plan.attributes)
        session_id, trace_state = state.session_id, state.trace
        if session_id is None:
            return
        if trace_state.session_id is None:
            trace_state.session_id = session_id
            stamp_server_ancestors(state.parent, session_id)
        self._on_session(session_id, source_of(plan.decision))


def session_attributes(
    decision: Decision,
    kind: object,
    own: Mapping[str, Any],
    context: Mapping[str, object],
    generator: Binding | None = None,
) -> dict[str, Any]:
    """Return what a span gets at its start: the ids, and what blocks set.

    Args:
        decision: Whose session it is.
        kind: The span's OpenInference kind.
        own: What the span says itself; it is nearer and counts.
        context: The context in which the span starts.
        generator: The block of the generator in which it starts, where the context has another one's.

    """
    names = _MODEL_CALL_ATTRIBUTES if kind == "LLM" else _CONTEXT_ATTRIBUTES
    found = _binding.attributes(names, context, generator)
    attributes = {name: value for name, value in found.items() if name not in own} if found else found
    for unused in decision.unused:
        attributes.setdefault(f"{keys.INNER_ID}.{unused.source}", unused.value)
    if decision.session_id is not None:
        attributes[keys.SESSION_SOURCE] = source_of(decision)
        for key in keys.SESSION_KEYS:
            attributes[key] = decision.session_id
    return attributes


def source_of(decision: Decision) -> str:
    """Return the rule, or the framework's key, that named the session."""
    return decision.framework.source if decision.framework is not None else str(decision.source)


def _same_trace(parent: SpanState, span: Span) -> bool:
    context = parent.span.get_span_context()
    return context is not None and context.trace_id == span.context.trace_id


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


def stamp_server_ancestors(state: SpanState | None, session_id: str) -> None:
    """Write a session to the server spans above that had none: they started before it was known."""
    while state is not None and state.session_id is None:
        span = state.span
        if isinstance(span, Span) and span.kind in (SpanKind.SERVER, SpanKind.CONSUMER) and is_open(span):
            span.set_attributes(dict.fromkeys(keys.SESSION_KEYS, session_id))
        state = state.parent


def _with_one_id(attributes: Mapping[str, Any], state: SpanState) -> dict[str, Any] | None:
    """Return the attributes with one session under all three keys: code may have set one of them meanwhile.

    ``None``: they have it, as usual.

    A stamped session stays; what was set over it is kept under a key of its own. A span without one takes
    what was set, for itself alone, unless its trace belongs to another session.
    """
    stamped = state.session_id
    if stamped is not None and (
        stamped == attributes.get(keys.LUCIDIC_SESSION_ID)
        and stamped == attributes.get(keys.SESSION_ID)
        and stamped == attributes.get(keys.CONVERSATION_ID)
    ):
        return None  # spelled out: this is the usual span, and a generator would cost more than the looks
    given = {key: attributes.get(key) for key in keys.SESSION_KEYS}
    wanted = state.session_id or _late_id(given, state)
    if wanted is None and UNKNOWN not in given.values():
        return None
    if all(value == wanted for value in given.values()):
        return None
    changed = dict(attributes)
    for key, value in given.items():
        changed.pop(key, None)
        if wanted is not None:
            changed[key] = wanted
        if value not in (None, wanted, UNKNOWN):
            changed[f"{keys.INNER_ID}.attribute.{key}"] = value
    return changed


def _late_id(given: Mapping[str, Any], state: SpanState) -> str | None:
    for key in (keys.LUCIDIC_SESSION_ID, keys.SESSION_ID):
        value = framework_id(given[key])
        if value is not None and state.trace.session_id in (None, value):
            return value
    return None


def _private_copy(span: ReadableSpan, masked: set[object], privacy: Privacy) -> ReadableSpan:
    status = span.status
    shown = status
    if status.description and "status" not in masked:
        shown = Status(status.status_code, privacy.text(status.description))
    events = [
        event
        if (event.name, event.timestamp) in masked
        else Event(event.name, privacy.attributes(event.attributes or {}), event.timestamp)
        for event in span.events
    ]
    links = [Link(link.context, privacy.attributes(link.attributes or {})) for link in span.links]
    return _copy(
        span,
        events=events,
        links=links,
        status=shown,
    )


def _copy(
    span: ReadableSpan,
    *,
    attributes: Mapping[str, Any] | None = None,
    events: Sequence[Event] | None = None,
    links: Sequence[Link] | None = None,
    status: Status | None = None,
) -> ReadableSpan:
    return ReadableSpan(
        name=span.name,
        context=span.context,
        parent=span.parent,
        resource=span.resource,
        attributes=span.attributes if attributes is None else attributes,
        events=span.events if events is None else events,
        links=span.links if links is None else links,
        kind=span.kind,
        status=span.status if status is None else status,
        start_time=span.start_time,
        end_time=span.end_time,
        instrumentation_scope=span.instrumentation_scope,
    )


def _private(attributes: Mapping[str, Any], masked: set[object], privacy: Privacy) -> dict[str, Any]:
    done = {key: value for key, value in attributes.items() if key in masked}
    return {
        **done,
        **privacy.attributes({key: value for key, value in attributes.items() if key not in done}),
    }


def session_of(span: trace.Span) -> str | None:
    """Return the session that a span of this process was stamped with."""
    state = state_of(span)
    return None if state is None else state.session_id
