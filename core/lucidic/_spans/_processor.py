"""The stamping processor: session ids on every span of a provider, foreign ones too."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, Final, Protocol
from weakref import WeakValueDictionary

from openinference.semconv.trace import SpanAttributes
from opentelemetry import context as otel_context
from opentelemetry import trace
from opentelemetry.context import _SUPPRESS_INSTRUMENTATION_KEY, Context
from opentelemetry.sdk.trace import Event, ReadableSpan, Span, SpanProcessor
from opentelemetry.trace import Link, SpanContext, SpanKind, Status
from typing_extensions import override

from lucidic import _binding
from lucidic._guard import swallow
from lucidic._ids import UNKNOWN, framework_id
from lucidic._spans import _attributes as keys
from lucidic._spans._correlation import Decision, FrameworkID, SessionFrom
from lucidic._spans._decide import decide
from lucidic._spans._peers import current_state, is_beside, is_kept, meant_by, stands_beside
from lucidic._spans._privacy import Privacy
from lucidic._spans._put import plain
from lucidic._spans._roots import mark_local_root, tell_root, with_what_was_told
from lucidic._spans._state import SpanState, TraceState, is_open, remember, state_of
from lucidic._spans._tokens import counted_above, has_tokens, without_tokens


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
_PARTS: Final = (
    "name", "context", "parent", "resource", "attributes", "events", "links", "kind", "status", "start_time",
    "end_time", "instrumentation_scope",
)  # fmt: skip
"""What a finished span consists of."""


class Recorder(Protocol):
    """Where spans go: the exporter."""

    def span_started(self, span: ReadableSpan) -> None: ...
    def span_ended(self, span: ReadableSpan) -> None: ...


class Plan:
    """The decision that our own tracer made before it started a span."""

    __slots__ = ("beside", "decision", "keyed", "moved", "parent", "provisional", "stamped", "trace_state")

    def __init__(
        self,
        decision: Decision,
        *,
        parent: SpanState | None,
        trace_state: TraceState | None,
        keyed: str | None,
        stamped: bool = False,
        provisional: bool = False,
        beside: bool = False,
        moved: bool = False,
    ) -> None:
        self.decision = decision
        self.stamped = stamped
        """The span was started with its session attributes; that is cheaper than setting them after."""
        self.provisional = provisional
        """The span may never end, on purpose; it is not announced and not swept up."""
        self.parent = parent
        self.trace_state = trace_state
        self.keyed = keyed
        self.beside = beside
        self.moved = moved
        """See ``SpanState``."""


class StampProcessor(SpanProcessor):
    """Stamp session ids at span start, and hand finished spans to the exporter, masked."""

    is_lucidic = True

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
            state = self._stamp(span, plan, context)
            if not (plan.provisional or state.beside):
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
            # The live span refers to its state: without this the two would wait for the garbage collector.
            state.span = span
            if state.beside and not is_kept(span):
                return
            span = _with_one_id(span, state)
            attributes = plain(span.attributes)
            if has_tokens(attributes) and counted_above(state):
                span = _copy(span, attributes=without_tokens(attributes))
            privacy = state.privacy or self._privacy()
            if privacy.active:
                span = _private_copy(span, state.masked, privacy)
            if state.told:
                span = _copy(span, attributes=with_what_was_told(plain(span.attributes), state))
            if state.moved:
                span = _copy(span, parent=_below_ours(state))
            if state.parent is not None:
                tell_root(plain(span.attributes), state)
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
        here = trace.get_current_span(context)
        above = state_of(here)
        beside = is_beside(span, context)
        passed = not beside and stands_beside(here)
        parent = meant_by(above, context) if passed else above
        if parent is not None and not _same_trace(parent, span):
            parent = above if above is not None and _same_trace(above, span) else None
        moved = passed or (not beside and above is not None and not _is_parent(above, span))
        decision, around = decide(
            context,
            parent,
            init_ids=self._init_ids,
            framework=_explicit_id(span),
            session_from=self._session_from(),
        )
        trace_state = None if parent is None else parent.trace
        session_id = decision.session_id
        if (
            trace_state is not None
            and session_id is not None
            and trace_state.session_id not in (None, session_id)
        ):
            # The parent is given and cannot be changed here: one trace keeps one session.
            decision = Decision(session_id=trace_state.session_id, source="parent", unused=decision.unused)
        left = context.get(_binding.LEFT_KEY)
        if span.parent is None and isinstance(left, SpanContext):
            span.add_link(left, {"lucidic.link": "left_session"})
        return Plan(
            decision, parent=parent, trace_state=trace_state, keyed=around.keyed, beside=beside, moved=moved
        )

    def _stamp(self, span: Span, plan: Plan, context: Context) -> SpanState:
        decision = plan.decision
        session_id = decision.session_id
        trace_state = plan.trace_state or TraceState()
        state = SpanState(
            span, session_id=session_id, parent=plan.parent, trace_state=trace_state, keyed=plan.keyed
        )
        state.provisional, state.beside, state.moved = plan.provisional, plan.beside, plan.moved
        if plan.beside:
            state.around = current_state()
        remember(span, state)
        self._open[span.context.span_id] = state
        if plan.parent is None:
            mark_local_root(state, context)
        if not plan.stamped:
            own = plain(span.attributes)
            kind = own.get(SpanAttributes.OPENINFERENCE_SPAN_KIND)
            if attributes := session_attributes(decision, kind, own, context):
                span.set_attributes(attributes)
        if session_id is None:
            return state
        if trace_state.session_id is None:
            trace_state.session_id = session_id
            stamp_server_ancestors(plan.parent, session_id)
        self._on_session(session_id, source_of(decision))
        return state


def session_attributes(
    decision: Decision, kind: object, own: Mapping[str, Any], context: Context
) -> dict[str, Any]:
    """Return what a span gets at its start: the ids, and what blocks set.

    Args:
        decision: Whose session it is.
        kind: The span's OpenInference kind.
        own: What the span says itself; it is nearer and counts.
        context: The context in which the span starts.

    """
    attributes: dict[str, Any] = {}
    for name in _MODEL_CALL_ATTRIBUTES if kind == "LLM" else _CONTEXT_ATTRIBUTES:
        if name not in own and (value := _binding.attribute(name, context)) is not None:
            attributes[name] = value
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


def _is_parent(above: SpanState, span: Span) -> bool:
    context = above.span.get_span_context()
    return context is None or span.parent is None or context.span_id == span.parent.span_id


def _below_ours(state: SpanState) -> SpanContext | None:
    """Return the parent that our copy of a span has, where other tracers' spans are passed over."""
    above = None if state.parent is None else state.parent.below_ours()
    return None if above is None else above.span.get_span_context()


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


def _with_one_id(span: ReadableSpan, state: SpanState) -> ReadableSpan:
    """Return the span with one session under all three keys: code may have set one of them meanwhile.

    A stamped session stays; what was set over it is kept under a key of its own. A span without one takes
    what was set, for itself alone, unless its trace belongs to another session.
    """
    attributes = plain(span.attributes)
    stamped = state.session_id
    if stamped is not None and (
        stamped == attributes.get(keys.LUCIDIC_SESSION_ID)
        and stamped == attributes.get(keys.SESSION_ID)
        and stamped == attributes.get(keys.CONVERSATION_ID)
    ):
        return span  # spelled out: this is the usual span, and a generator would cost more than the looks
    given = {key: attributes.get(key) for key in keys.SESSION_KEYS}
    wanted = state.session_id or _late_id(given, state)
    if wanted is None and UNKNOWN not in given.values():
        return span
    if all(value == wanted for value in given.values()):
        return span
    changed = dict(attributes)
    for key, value in given.items():
        changed.pop(key, None)
        if wanted is not None:
            changed[key] = wanted
        if value not in (None, wanted, UNKNOWN):
            changed[f"{keys.INNER_ID}.attribute.{key}"] = value
    return _copy(span, attributes=changed)


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
        attributes=_private(span.attributes or {}, masked, privacy),
        events=events,
        links=links,
        status=shown,
    )


def _copy(span: ReadableSpan, **changed: Any) -> ReadableSpan:
    given: dict[str, Any] = {name: getattr(span, name) for name in _PARTS}
    return ReadableSpan(**{**given, **changed})


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
