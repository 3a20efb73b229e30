"""The stamping processor: session ids on every span of a provider, foreign ones too."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, Final, Protocol
from weakref import ReferenceType, ref

from opentelemetry import context as otel_context
from opentelemetry import trace
from opentelemetry.context import _SUPPRESS_INSTRUMENTATION_KEY, Context
from opentelemetry.sdk.trace import Event, ReadableSpan, Span, SpanProcessor
from opentelemetry.trace import Link, SpanContext, SpanKind, Status
from typing_extensions import override

from lucidic._guard import swallow
from lucidic._ids import UNKNOWN, framework_id
from lucidic._sdk import put_attributes, raw_attributes
from lucidic._spans import _attributes as keys
from lucidic._spans._correlation import SessionFrom
from lucidic._spans._peers import is_kept
from lucidic._spans._plan import PLAN_KEY, Plan, plan_foreign, source_of
from lucidic._spans._privacy import Privacy
from lucidic._spans._roots import mark_local_root, tell_root, with_what_was_told
from lucidic._spans._state import SpanState, is_open, remember, state_of
from lucidic._spans._tokens import counted_above, has_tokens, without_tokens


_PARTS: Final = (
    "name", "context", "parent", "resource", "attributes", "events", "links", "kind", "status", "start_time",
    "end_time", "instrumentation_scope",
)  # fmt: skip
"""What a finished span consists of."""


_SWEEP_AT: Final = 1024


class Recorder(Protocol):
    """Where spans go: the exporter."""

    def span_started(self, span: ReadableSpan) -> None: ...
    def span_ended(self, span: ReadableSpan) -> None: ...


class _OpenStates:
    """The states of open spans by the span's id, not kept alive: a span may be dropped without an end.

    Dropped ones are swept out when there are many; to be told of each would cost every span a callback.
    """

    def __init__(self) -> None:
        self._states: dict[int, ReferenceType[SpanState]] = {}
        self._sweep_at = _SWEEP_AT

    def add(self, span_id: int, state: SpanState) -> None:
        self._states[span_id] = ref(state)
        if len(self._states) > self._sweep_at:
            for known, reference in list(self._states.items()):
                if reference() is None:
                    self._states.pop(known, None)
            self._sweep_at = max(_SWEEP_AT, 2 * len(self._states))

    def pop(self, span_id: int) -> SpanState | None:
        reference = self._states.pop(span_id, None)
        return None if reference is None else reference()

    def states(self) -> list[SpanState]:
        """Return those that are alive, the innermost last; other threads start and end spans meanwhile."""
        return [state for reference in list(self._states.values()) if (state := reference()) is not None]


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
        self._open = _OpenStates()

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
                plan = plan_foreign(span, context, init_ids=self._init_ids, session_from=self._session_from())
            self._stamp(span, plan, context)
            if not (plan.state.provisional or plan.state.beside):
                self._recorder.span_started(span)
        except Exception as error:  # noqa: BLE001  # the guard's: nothing reaches the caller
            swallow("on_start", error)

    @override
    def on_end(self, span: ReadableSpan) -> None:
        try:
            if span.context is None:
                return
            state = self._open.pop(span.context.span_id)
            if state is None:
                return  # started before us, or under suppress_tracing
            # Both refer to the live span, which refers to its state: they would wait for the garbage collector.
            state.span, state.inside = span, None
            if state.beside and not is_kept(span):
                return
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
            if state.moved:
                span = _copy(span, parent=_below_ours(state))
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
        return [state for state in self._open.states() if is_open(state.span) and not state.provisional]

    def forked(self) -> None:
        """Forget the spans of the parent process in a forked child: the parent ends them."""
        self._open = _OpenStates()

    def _stamp(self, span: Span, plan: Plan, context: Context) -> None:
        state = plan.state
        state.span = span
        remember(span, state)
        self._open.add(span.context.span_id, state)
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


def _copy(span: ReadableSpan, **changed: Any) -> ReadableSpan:
    given: dict[str, Any] = {name: getattr(span, name) for name in _PARTS}
    return ReadableSpan(**{**given, **changed})


def _below_ours(state: SpanState) -> SpanContext | None:
    """Return the parent that our copy of a span has, where other tracers' spans are passed over."""
    above = None if state.parent is None else state.parent.below_ours()
    return None if above is None else above.span.get_span_context()


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
