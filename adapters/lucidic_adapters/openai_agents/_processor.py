"""The processor: the SDK's traces and spans as OpenTelemetry spans of the right session."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable
from typing import Any, Final
from weakref import WeakKeyDictionary, WeakSet, WeakValueDictionary

from agents.tracing import Span, Trace, TracingProcessor, get_current_trace
from opentelemetry import trace as otel_trace
from opentelemetry.context import Context, get_current
from opentelemetry.trace import NonRecordingSpan, SpanContext

import lucidic
from lucidic.adapterkit import (
    SESSION_METADATA_KEYS,
    AdapterOptions,
    FrameworkID,
    LiveSpan,
    SessionFrom,
    deepest,
    guarded,
    make_tracer,
)
from lucidic_adapters.openai_agents import _end, _translate
from lucidic_adapters.openai_agents._context import enter, leave, settle
from lucidic_adapters.openai_agents._frames import RUN, is_marked_current, locals_of
from lucidic_adapters.openai_agents._sessions import RunCall, current_call, id_attributes, session_ids
from lucidic_adapters.openai_agents._state import TRACE, Flow, Work


_REMEMBERED: Final = 512
"""Ended traces of which the place and the session are kept, for a run that is resumed after its pause."""


class LucidicTracingProcessor(TracingProcessor):
    """Trace the OpenAI Agents SDK: ``add_trace_processor(LucidicTracingProcessor())``.

    The callbacks run in the code that they tell of, so spans of tools, databases and other frameworks nest
    below the SDK's. Nothing is sent anywhere else, and other processors stay in place.

    Args:
        session_id: The session of everything this processor sees; outranks all else. Default none.
        session_keys: The keys of a trace's metadata that name a session, in order of precedence.
        session_from: ``"block"`` or ``"framework"``: which one outranks the other; default as in ``init()``.
        capture_content: False leaves messages, arguments and results out; default as in ``init()``.
        mask: Applied to every text that could hold content; default as in ``init()``.
        tracer_provider: Where the spans are made; default the global provider, else our own.

    Raises:
        InvalidSessionIDError: ``session_id`` is empty or not text.
        ConfigurationError: ``session_from`` is neither word.

    """

    def __init__(
        self,
        *,
        session_id: str | None = None,
        session_keys: tuple[str, ...] = SESSION_METADATA_KEYS,
        session_from: SessionFrom | None = None,
        capture_content: bool | None = None,
        mask: Callable[[str], str] | None = None,
        tracer_provider: Any = None,
    ) -> None:
        options = AdapterOptions(
            session_id=session_id,
            session_keys=tuple(session_keys),
            session_from=session_from,
            capture_content=capture_content,
            mask=mask,
            tracer_provider=tracer_provider,
        )
        self._options = options
        self._tracer = make_tracer("lucidic.openai_agents", options)
        self._flows: WeakKeyDictionary[Trace, Flow] = WeakKeyDictionary()
        self._finished: WeakSet[Trace] = WeakSet()
        self._works: WeakKeyDictionary[Span[Any], Work] = WeakKeyDictionary()
        self._by_id: WeakValueDictionary[str, Work] = WeakValueDictionary()
        self._ended: OrderedDict[str, tuple[SpanContext, str | None]] = OrderedDict()

    def on_trace_start(self, trace: Trace) -> None:
        """Start the workflow's root below the current OpenTelemetry span."""
        with guarded("agents on_trace_start"):
            settle()
            call = _call_here()
            flow = Flow(trace.trace_id)
            self._flows[trace] = flow
            attributes = _translate.trace_attributes(trace) | id_attributes(call, trace)
            live = self._tracer.start(
                trace.name,
                "CHAIN",
                framework=session_ids(call, trace, self._options.session_keys),
                attributes=attributes,
            )
            work = Work(live, TRACE, flow, None, trace.name)
            self._open(work, call)
            if is_marked_current():
                work.entry = enter(live.context)

    def on_trace_end(self, trace: Trace) -> None:
        """End the workflow's root, or keep it open until its run has its result."""
        with guarded("agents on_trace_end"):
            flow = self._flows.pop(trace, None)
            if flow is None or flow.root is None:
                return
            flow.ended = True
            self._finished.add(trace)
            self._remember(flow)
            root = flow.root
            if root.kind == TRACE:
                _end.end_run(root, None, root.error(), {})
                if root.entry is not None:
                    leave(root.entry)

    def on_span_start(self, span: Span[Any]) -> None:
        """Start a span below the SDK's parent, or below what the user opened inside it."""
        with guarded("agents on_span_start"):
            settle()
            parent = self._by_id.get(span.parent_id) if span.parent_id else None
            trace = get_current_trace()
            flow = parent.flow if parent is not None else self._flow_of(span, trace)
            kind, name, attributes = _translate.started(span.span_data, parent or flow.root)
            call = None
            if kind == _translate.TASK or flow.root is None:
                call = _call_here()
                attributes |= id_attributes(call, trace)
            framework: tuple[FrameworkID, ...] = ()
            if flow.session_id is None or call is not None:
                framework = self._ids(flow, call, trace)
            live = self._start(name, _translate.KINDS.get(kind, "CHAIN"), flow, parent, framework, attributes)
            work = Work(live, kind, flow, parent or flow.root, getattr(span.span_data, "name", None))
            self._works[span] = work
            self._by_id[span.span_id] = work
            self._open(work, call)
            _learn_session(work)
            if is_marked_current():
                work.entry = enter(live.context)

    def on_span_end(self, span: Span[Any]) -> None:
        """Describe the span with what is known now, and end it."""
        with guarded("agents on_span_end"):
            work = self._works.pop(span, None)
            if work is None:
                return
            self._by_id.pop(span.span_id, None)
            error = work.error()
            attributes = _translate.ended(work, span, error) if work.live.is_recording else {}
            if work is work.flow.root:
                work.flow.ended = True
                self._remember(work.flow)
            if work.kind == _translate.TASK or work is work.flow.root:
                _end.end_run(work, span.error, error, attributes)
            else:
                _end.end_span(work, span.error, error, attributes)
            if work.entry is not None:
                leave(work.entry)

    def force_flush(self) -> None:
        """Deliver everything that has ended: ``agents.flush_traces()`` comes here."""
        with guarded("agents force_flush"):
            self._flush(None)

    def shutdown(self, timeout: float | None = None) -> None:
        """Deliver everything that has ended, within ``timeout`` seconds; spans may still follow."""
        with guarded("agents shutdown"):
            self._flush(timeout)

    def _flush(self, timeout: float | None) -> None:
        provider = self._options.tracer_provider or otel_trace.get_tracer_provider()
        flush = getattr(provider, "force_flush", None)
        if callable(flush):
            flush() if timeout is None else flush(int(timeout * 1000))
        lucidic.flush() if timeout is None else lucidic.flush(timeout)

    def _open(self, work: Work, call: RunCall | None) -> None:
        flow = work.flow
        if call is not None:
            call.seen = True
            work.call = call
            if work.kind != TRACE:
                call.taken = True
            flow.include_data = flow.include_data and call.include_data
            if call.include_data:
                work.words = _translate.words_of(call.input)
        if flow.root is None:
            flow.root = work
            flow.context = work.live.span.get_span_context()
            flow.session_id = work.live.session_id

    def _flow_of(self, span: Span[Any], trace: Trace | None) -> Flow:
        """Return the trace of a span without an open parent; one whose start was not seen is made up."""
        if trace is not None:
            flow = self._flows.get(trace)
            if flow is not None and flow.trace_id == span.trace_id and not flow.ended:
                return flow
        for flow in reversed(list(self._flows.values())):
            if flow.trace_id == span.trace_id and not flow.ended:
                return flow
        flow = Flow(span.trace_id)
        if trace is not None and trace.trace_id == span.trace_id:
            self._flows[trace] = flow
            # A generator that was abandoned left its finished trace behind: what runs there now is no part of it.
            flow.resumes = trace not in self._finished
        return flow

    def _start(
        self,
        name: str,
        kind: str,
        flow: Flow,
        parent: Work | None,
        framework: tuple[FrameworkID, ...],
        attributes: dict[str, Any],
    ) -> LiveSpan:
        above = parent or flow.root
        if above is not None:
            current = otel_trace.get_current_span()
            inside = current is not above.live.span and deepest(above.live, current) is current
            return self._tracer.start(
                name, kind, parent=None if inside else above.live, framework=framework, attributes=attributes
            )
        resumed = self._ended.get(flow.trace_id) if flow.resumes else None
        if resumed is None:
            return self._tracer.start(name, kind, framework=framework, attributes=attributes)
        return self._resume(name, kind, resumed, framework, attributes)

    def _resume(
        self,
        name: str,
        kind: str,
        resumed: tuple[SpanContext, str | None],
        framework: tuple[FrameworkID, ...],
        attributes: dict[str, Any],
    ) -> LiveSpan:
        """Go on in the trace of a run that was paused, unless another session or span is in force here."""
        place, session_id = resumed
        wanted = self._options.session_id or lucidic.current_session_id() or session_id
        if session_id is not None:
            framework = (FrameworkID(session_id, "openai_agents.resumed"), *framework)
        if wanted != session_id or otel_trace.get_current_span().get_span_context().is_valid:
            return self._tracer.start(name, kind, framework=framework, attributes=attributes, links=[place])
        context: Context = otel_trace.set_span_in_context(NonRecordingSpan(place), get_current())
        return self._tracer.start(name, kind, parent=context, framework=framework, attributes=attributes)

    def _ids(self, flow: Flow, call: RunCall | None, trace: Trace | None) -> tuple[FrameworkID, ...]:
        known = call or (None if flow.root is None else flow.root.call)
        return session_ids(known, trace, self._options.session_keys)

    def _remember(self, flow: Flow) -> None:
        if flow.context is None or not flow.context.is_valid:
            return
        self._ended[flow.trace_id] = (flow.context, flow.session_id)
        while len(self._ended) > _REMEMBERED:
            self._ended.popitem(last=False)


def _call_here() -> RunCall | None:
    """Return the run that this callback belongs to: the wrapper's, else what the SDK's frame shows."""
    call = current_call.get()
    if call is not None and not call.taken:
        return call
    frame = locals_of(RUN)
    if not frame:
        return None
    given = next(
        (frame[name] for name in ("original_input", "starting_input", "input") if frame.get(name)), None
    )
    return RunCall(given, frame)


def _learn_session(work: Work) -> None:
    """Give the spans above the session that this one learnt first (a conversation made by its first request)."""
    found = work.live.session_id
    if found is None or work.flow.session_id is not None:
        return
    step = work.parent
    while step is not None:
        step.live.adopt_session(work.live)
        step = step.parent
    if work.flow.root is not None:
        work.flow.session_id = work.flow.root.live.session_id
