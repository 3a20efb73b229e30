"""The tracer that adapters use: it decides the session before the span starts, and splits traces."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, Final, NamedTuple

from openinference.semconv.trace import SpanAttributes
from opentelemetry import context as otel_context
from opentelemetry import trace
from opentelemetry.context import _SUPPRESS_INSTRUMENTATION_KEY, Context
from opentelemetry.trace import Link, SpanContext, Tracer

from lucidic import _binding, _bound
from lucidic._bound import Binding
from lucidic._sdk import put_attributes
from lucidic._spans._correlation import Decision, FrameworkID, SessionFrom
from lucidic._spans._decide import decide, passes_on, remember_inside
from lucidic._spans._live import LiveSpan, without_none
from lucidic._spans._place import Place, left_link, must_split, pass_over_others
from lucidic._spans._plan import MODEL_CALL_ATTRIBUTES, PLAN_KEY, Plan, session_attributes, set_by_blocks
from lucidic._spans._privacy import Privacy
from lucidic._spans._state import HERE_KEY, SpanState, state_of


KIND: Final = SpanAttributes.OPENINFERENCE_SPAN_KIND


class AdapterTracer:
    """Start spans for one adapter: session decided first, parent chosen, content masked."""

    def __init__(
        self,
        tracer: Callable[[], tuple[Tracer, bool]],
        *,
        privacy: Callable[[], Privacy],
        init_ids: Callable[[], tuple[str, ...]],
        session_from: Callable[[], SessionFrom],
        handler_id: str | None = None,
    ) -> None:
        self._tracer = tracer
        self._privacy = privacy
        self._init_ids = init_ids
        self._session_from = session_from
        self._handler_id = handler_id

    def start(
        self,
        name: str,
        kind: str,
        *,
        parent: LiveSpan | Context | None = None,
        framework: Sequence[FrameworkID] = (),
        attributes: Mapping[str, Any] | None = None,
        links: Iterable[SpanContext] = (),
        start_time: int | None = None,
        provisional: bool = False,
        inside: Mapping[str, object] | None = None,
    ) -> LiveSpan:
        """Start a span. It is not made current: run user code in its ``context``.

        Args:
            name: Span name.
            kind: OpenInference kind: ``AGENT``, ``CHAIN``, ``LLM``, ``TOOL``, ``RETRIEVER``, …
            parent: A span of this kit, or the context to start in; default the current context.
            framework: The framework's ids of the root run (``framework_ids``), the strongest first.
            attributes: First attributes; ``None`` values are left out.
            links: Spans to link.
            start_time: Nanoseconds since the epoch; default now.
            provisional: The framework may drop the span and never end it (a durable engine replays work
                that is recorded already): then nobody else ends it either, not even a later process.
            inside: Keys of the adapter's own for the ``context`` of the span.

        """
        current = otel_context.get_current()
        if parent is None or isinstance(parent, LiveSpan):
            above = parent
            state = state_of(current.get(_bound.SPAN_KEY)) if parent is None else parent.state
        else:
            above = state = None
        if state is not None and self._handler_id is None and passes_on(state, current, framework):
            start = _Start(dict(current), above, Place(state), Decision(state.session_id, "parent"), [])
        else:
            found = self._look_around(parent, framework)
            if found is None:
                return LiveSpan(trace.INVALID_SPAN, current, self._privacy())
            start = found
        if links:
            start.links.extend([Link(link) for link in links])
        return self._start(name, kind, start, provisional, attributes, start_time, inside)

    def _look_around(
        self, parent: LiveSpan | Context | None, framework: Sequence[FrameworkID]
    ) -> _Start | None:
        """Find where a span starts, and whose it is; nowhere, where tracing is suppressed."""
        current = _binding.cleaned()
        base = _binding.cleaned(parent) if isinstance(parent, Context) else current
        if base.get(_SUPPRESS_INSTRUMENTATION_KEY) or current.get(_SUPPRESS_INSTRUMENTATION_KEY):
            return None
        values: dict[str, Any] = dict(base)
        above: LiveSpan | None = None
        if isinstance(parent, LiveSpan):
            above = parent
            values[_bound.SPAN_KEY] = parent.span
            place = Place(parent.state)
        else:
            place = pass_over_others(values)
        state = place.parent
        decision, around = decide(
            base,
            state,
            init_ids=self._init_ids,
            handler_id=self._handler_id,
            framework=framework,
            session_from=self._session_from(),
        )
        links: list[Link] = []
        if must_split(None if state is None else state.trace, decision.session_id):
            links.append(left_link(values[_bound.SPAN_KEY].get_span_context()))
            values[_bound.SPAN_KEY] = trace.INVALID_SPAN
            state = above = None
        elif must_split(place.trace, decision.session_id):
            values[_bound.SPAN_KEY] = trace.INVALID_SPAN
            place = Place(None)
        elif isinstance(left := values.get(_bound.LEFT_KEY), SpanContext) and left.is_valid:
            span_here = values.get(_bound.SPAN_KEY)
            if span_here is None or not span_here.get_span_context().is_valid:
                links.append(left_link(left))
        blocks = set_by_blocks(decision, around, base, state)
        if blocks or not values.keys().isdisjoint(MODEL_CALL_ATTRIBUTES):
            for name in MODEL_CALL_ATTRIBUTES:  # for what runs below, which need not look around
                if name in blocks:
                    values[name] = blocks[name]
                else:
                    values.pop(name, None)
        return _Start(
            values,
            above,
            place._replace(parent=state),
            decision,
            links,
            around.keyed,
            around.generator,
            blocks,
        )

    def _start(
        self,
        name: str,
        kind: str,
        start: _Start,
        provisional: bool,
        attributes: Mapping[str, Any] | None,
        start_time: int | None,
        inside: Mapping[str, object] | None,
    ) -> LiveSpan:
        """Start the span, and make of its place's context the one of what runs below it."""
        values, above, place, decision, links, keyed, generator, blocks = start
        session_id = decision.session_id
        state = SpanState(
            session_id=session_id,
            parent=place.parent,
            trace_state=place.trace_state,
            keyed=session_id or keyed,
        )
        if provisional:
            state.provisional = True
        if place.moved:
            state.moved = True
        if generator is not None:
            state.generator = generator
        if blocks is None:
            blocks = _binding.attributes(MODEL_CALL_ATTRIBUTES, values)
        else:
            state.blocks = blocks
        given = without_none(attributes) if attributes else {}
        around = session_attributes(decision, kind, given, blocks)
        essential = {KIND: kind, **around}
        privacy = self._privacy()
        if privacy.active:
            essential, given = privacy.attributes(essential), privacy.attributes(given)
            state.privacy = privacy
            state.masked.update(essential, given)
        tracer, is_ours = self._tracer()
        rest = {**essential, **given} if is_ours else given
        values[PLAN_KEY] = Plan(state, decision, rest)
        span = tracer.start_span(
            name,
            context=Context(values),
            attributes=None if is_ours else essential,
            links=links,
            start_time=start_time,
        )
        del values[PLAN_KEY]
        values.pop(_bound.LEFT_KEY, None)
        values[_bound.SPAN_KEY] = span
        if session_id is None:
            values.pop(_bound.SESSION_KEY, None)
        else:
            values[_bound.SESSION_KEY] = session_id
        values[HERE_KEY] = kept = state_of(span)
        if inside:
            values.update(inside)
        live = LiveSpan(span, Context(values), privacy, above, kept, len(essential) + len(given))
        if kept is None:
            put_attributes(span, rest)  # we were shut down, or it is sampled out: it is not for us
        else:
            remember_inside(state, live.context)
        return live


class _Start(NamedTuple):
    """Where a span starts, and whose it is."""

    values: dict[str, Any]
    """Of the context to start in."""
    above: LiveSpan | None
    place: Place
    decision: Decision
    links: list[Link]
    keyed: str | None = None
    generator: Binding | None = None
    blocks: Mapping[str, Any] | None = None
    """What the blocks around it set; ``None``: what its context says."""
