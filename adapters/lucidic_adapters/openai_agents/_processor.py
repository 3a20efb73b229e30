"""The processor: the SDK's traces and spans as OpenTelemetry spans of the right session."""

from __future__ import annotations

from asyncio import CancelledError
from collections import OrderedDict
from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from functools import partial
from hashlib import blake2b
from typing import Any, Final, TypeAlias, TypeVar
from weakref import WeakKeyDictionary, WeakSet

from agents.tracing import Span, Trace, TracingProcessor, get_current_span, get_current_trace, traces
from opentelemetry import trace as otel_trace
from opentelemetry.context import attach, get_current
from opentelemetry.trace import NonRecordingSpan, SpanContext

import lucidic
from lucidic.adapterkit import (
    SESSION_METADATA_KEYS,
    AdapterOptions,
    FrameworkID,
    LiveSpan,
    SessionFrom,
    chosen_trace_id,
    deepest,
    guarded,
    make_tracer,
    swallow,
)
from lucidic_adapters.openai_agents import _translate
from lucidic_adapters.openai_agents._context import Entry, enter, leave, settle
from lucidic_adapters.openai_agents._end import end_run, end_span
from lucidic_adapters.openai_agents._frames import is_marked_current
from lucidic_adapters.openai_agents._quiet import loud, quiet
from lucidic_adapters.openai_agents._sessions import (
    RunCall,
    call_here,
    comes_late,
    id_attributes,
    session_ids,
)
from lucidic_adapters.openai_agents._siblings import made, traced_by_another
from lucidic_adapters.openai_agents._state import TRACE, Flow, OpenSpans, Work, is_cancellation


RESUMED: Final = "openai_agents.resumed"
_WITHOUT_CALLBACKS: Final = tuple(
    kind for name in ("ReattachedTrace", "NoOpTrace") if isinstance(kind := getattr(traces, name, None), type)
)
"""Traces of which neither start nor end is told; the first one came with resumed runs (0.11)."""
_REMEMBERED: Final = 4096
"""Traces of which something is kept when they have ended, for runs that are resumed; as many as the SDK keeps."""
_T = TypeVar("_T")
_IDs: TypeAlias = tuple[FrameworkID, ...]


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
        self.tracer = make_tracer("lucidic.openai_agents", options)
        self.session_keys = options.session_keys
        self._flows: WeakKeyDictionary[Trace, Flow] = WeakKeyDictionary()
        self._finished: WeakSet[Trace] = WeakSet()
        self._works = OpenSpans()
        self._ended: OrderedDict[str, tuple[SpanContext, str | None]] = OrderedDict()
        self._used_ids: OrderedDict[str, None] = OrderedDict()
        self._on_idle: Callable[[], None] | None = None
        self.gives_way = False
        """It follows everything on nobody's special word, and leaves runs to a processor that the user added."""
        made(self)

    def on_trace_start(self, trace: Trace) -> None:
        """Start the workflow's root below the current OpenTelemetry span."""
        with guarded("agents on_trace_start"):
            if self._on_idle is not None or traced_by_another(self, lambda other: trace in other._flows):
                return
            settle()
            entry = Entry() if is_marked_current() else None
            root = self._begin(trace, call_here(), entry)
            if entry is not None:
                enter(entry, root.live.context)

    def on_trace_end(self, trace: Trace) -> None:
        """End the workflow's root, or keep it open until its run has its result."""
        with guarded("agents on_trace_end"):
            flow = self._flows.pop(trace, None)
            self._finished.add(trace)
            root = None if flow is None else flow.root
            if flow is None or root is None or root.kind != TRACE:
                return
            self._ended_flow(flow)
            end_run(root, None, root.error(), {})
            if root.entry is not None:
                leave(root.entry)
            self._leave_if_idle()

    def on_span_start(self, span: Span[Any]) -> None:
        """Start a span below the SDK's parent, or below what the user opened inside it."""
        try:
            settle()
            parent = self._works.by_id(span.parent_id)
            if parent is None and traced_by_another(self, lambda other: other.has(span)):
                return
            trace = None if parent is not None and parent.flow.session_id is not None else get_current_trace()
            flow = parent.flow if parent is not None else self._flow_of(span, trace)
            if flow is None:
                return
            above = parent or flow.root
            data = span.span_data
            kind, name, attributes = _translate.started(data, above)
            call = call_here() if kind == _translate.TASK or above is None else None
            if call is not None:
                trace = trace or get_current_trace()
                attributes |= id_attributes(call, trace if flow.resumes else None)
            entry = Entry() if is_marked_current() else None
            ids = self._ids(flow, above, call, trace)
            live = self._start_span(name, kind, flow, above, ids, attributes, entry)
            work = Work(live, kind, flow, above, getattr(data, "name", None), entry)
            self._works.add(span, work)
            _open(work, call)
            if entry is not None:
                enter(entry, quiet(live.context) if kind in _translate.MODEL_KINDS else live.context)
        except Exception as error:  # noqa: BLE001  # the guard's: nothing reaches the caller
            swallow("agents on_span_start", error)

    def on_span_end(self, span: Span[Any]) -> None:
        """Describe the span with what is known now, and end it."""
        try:
            work = self._works.pop(span)
            if work is None:
                return
            error = work.error()
            if is_cancellation(error):
                self._cancel_below(work)
            attributes = _translate.ended(work, span) if work.live.is_recording else {}
            is_root = work is work.flow.root
            if is_root:
                self._ended_flow(work.flow)
            if is_root or work.kind == _translate.TASK:
                end_run(work, span.error, error, attributes)
            else:
                end_span(work, span.error, error, attributes)
            if work.entry is not None:
                leave(work.entry)
            self._leave_if_idle()
        except Exception as failure:  # noqa: BLE001  # the guard's: nothing reaches the caller
            swallow("agents on_span_end", failure)

    def _cancel_below(self, work: Work) -> None:
        """End what is cancelled with this span, and would be told so only when nobody waits for it any more."""
        for span, other in self._works.below(work):
            attributes = _translate.ended(other, span) if other.live.is_recording else {}
            end_span(other, None, CancelledError(), attributes)

    def tool_failed(self, error: BaseException) -> None:
        """Take what a tool raised, which the SDK keeps from its processors."""
        with guarded("agents tool_failed"):
            span = get_current_span()
            work = None if span is None else self._works.get(span)
            if work is not None and work.kind == "function":
                work.tool_error = error

    def force_flush(self) -> None:
        """Deliver everything that has ended: ``agents.flush_traces()`` comes here."""
        with guarded("agents force_flush"):
            self._flush(None)

    def shutdown(self, timeout: float | None = None) -> None:
        """Deliver everything that has ended, within ``timeout`` seconds; spans may still follow."""
        with guarded("agents shutdown"):
            self._flush(timeout)

    def has(self, span: Span[Any]) -> bool:
        """Tell whether it traces what a span is part of."""
        here = get_current_trace()
        if self._works.by_id(span.span_id) is not None or self._works.by_id(span.parent_id) is not None:
            return True
        return here is not None and type(here).__hash__ is not None and here in self._flows

    def provider(self) -> Any:
        """Return where its spans are made."""
        return self._options.tracer_provider or otel_trace.get_tracer_provider()

    def _flush(self, timeout: float | None) -> None:
        flush = getattr(self.provider(), "force_flush", None)
        if callable(flush):
            flush() if timeout is None else flush(int(timeout * 1000))
        lucidic.flush() if timeout is None else lucidic.flush(timeout)

    def drain(self, on_idle: Callable[[], None]) -> None:
        """Take no new workflow; call ``on_idle`` when the last open one has ended, at once if there is none."""
        self._on_idle = on_idle
        self._leave_if_idle()

    @property
    def is_leaving(self) -> bool:
        """True once it takes no new workflow."""
        return self._on_idle is not None

    def _leave_if_idle(self) -> None:
        on_idle = self._on_idle
        if on_idle is None or self._works or any(not flow.ended for flow in list(self._flows.values())):
            return
        on_idle()

    def _begin(self, trace: Trace, call: RunCall | None, entry: Entry | None) -> Work:
        flow = Flow(trace.trace_id)
        self._flows[trace] = flow
        found = session_ids(call, trace, self.session_keys)
        if comes_late(call):
            flow.waiting, found = found, ()
        with self._trace_id_of(trace):
            live = self.tracer.start(
                trace.name,
                "CHAIN",
                framework=found,
                attributes=_translate.trace_attributes(trace) | id_attributes(call, trace),
                inside=None if entry is None else entry.inside,
            )
        root = Work(live, TRACE, flow, None, trace.name, entry)
        _open(root, call)
        return root

    def _trace_id_of(self, trace: Trace) -> AbstractContextManager[None]:
        """Make the trace's id from the SDK's, so that a run goes on in its trace in another process.

        Once only: the same id again in this process is another workflow. The SDK's ids are UUIDs, of which
        not all bits are random, and samplers decide by the bits: so the id is hashed.
        """
        if trace.trace_id in self._used_ids:
            return nullcontext()
        _keep(self._used_ids, trace.trace_id, None)
        digest = blake2b(trace.trace_id.encode(errors="replace"), digest_size=16).digest()
        return chosen_trace_id(int.from_bytes(digest, "big"))

    def _flow_of(self, span: Span[Any], trace: Trace | None) -> Flow | None:
        """Return the trace of a span without an open parent, also where its start was not seen."""
        here = trace if trace is not None and trace.trace_id == span.trace_id else None
        if type(here).__hash__ is None:
            here = None  # another tracer's wrapper around the trace that we were told of (logfire)
        flow = None if here is None else self._flows.get(here)
        if flow is not None and not flow.ended:
            return flow
        if here is None:
            found = (
                flow
                for flow in list(self._flows.values())
                if flow.trace_id == span.trace_id and not flow.ended
            )
            flow = next(found, None)
            if flow is not None:
                return flow
        if self._on_idle is not None:
            return None
        if here is not None and here not in self._finished and not isinstance(here, _WITHOUT_CALLBACKS):
            return self._begin(here, None, None).flow  # it started before us; its end will come
        flow = Flow(span.trace_id)
        # A generator that was abandoned leaves its finished trace behind: what runs there next is no part of it.
        flow.resumes = here is None or here not in self._finished
        if here is not None:
            self._flows[here] = flow
        return flow

    def _start_span(
        self,
        name: str,
        kind: str,
        flow: Flow,
        above: Work | None,
        framework: _IDs,
        attributes: dict[str, Any],
        entry: Entry | None,
    ) -> LiveSpan:
        """Start a span in the right place: the deepest of the SDK's parent and the current span."""
        current = get_current()
        unsilenced = loud(current)
        openinference_kind = _translate.KINDS.get(kind, "CHAIN")
        inside = None if entry is None else entry.inside
        if unsilenced is not current:
            attach(unsilenced)
        try:
            if above is None:
                start = partial(
                    self.tracer.start, name, openinference_kind, attributes=attributes, inside=inside
                )
                return self._start_top(start, flow, framework)
            place: LiveSpan | None = above.live
            here = otel_trace.get_current_span()
            if here is not above.live.span and deepest(above.live, here) is here:
                place = None
            return self.tracer.start(
                name,
                openinference_kind,
                parent=place,
                framework=framework,
                attributes=attributes,
                inside=inside,
            )
        finally:
            if unsilenced is not current:
                attach(current)

    def _start_top(self, start: Callable[..., LiveSpan], flow: Flow, framework: _IDs) -> LiveSpan:
        """Start the first span of a trace that has no root: in the place of the run that was paused, if any."""
        paused = self._ended.get(flow.trace_id) if flow.resumes else None
        if paused is None:
            return start(framework=framework)
        place, session_id = paused
        wanted = self._options.session_id or lucidic.current_session_id() or session_id
        if session_id is not None:
            framework = (FrameworkID(session_id, RESUMED), *framework)
        if wanted != session_id or otel_trace.get_current_span().get_span_context().is_valid:
            return start(framework=framework, links=[place])
        return start(framework=framework, parent=otel_trace.set_span_in_context(NonRecordingSpan(place)))

    def _ended_flow(self, flow: Flow) -> None:
        """Keep the place and the session of a trace that ends, for a run that is resumed."""
        flow.ended = True
        flow.root = None  # the two would refer to each other, and wait for the garbage collector
        if flow.context is not None and flow.context.is_valid:
            _keep(self._ended, flow.trace_id, (flow.context, flow.session_id))

    def _ids(self, flow: Flow, above: Work | None, call: RunCall | None, trace: Trace | None) -> _IDs:
        """Return a run's own ids; for a span inside it, those of an SDK session that had none before."""
        if call is None:
            step = above if flow.session_id is None else None
            while step is not None and step.call is None:
                step = step.parent
            call = None if step is None else step.call
            if call is None or call.session is None:
                return ()
        elif flow.waiting and comes_late(call):
            return ()
        # The ids of a finished trace that was left behind are another run's.
        return session_ids(call, trace if flow.resumes else None, self.session_keys)


def _keep(kept: OrderedDict[str, _T], key: str, value: _T) -> None:
    kept[key] = value
    while len(kept) > _REMEMBERED:
        kept.popitem(last=False)


def _open(work: Work, call: RunCall | None) -> None:
    """Take what the run's call tells, and tell the spans above a session that this one learnt first."""
    flow = work.flow
    if call is not None:
        call.seen = True
        call.taken = work.kind != TRACE
        work.call = call
        flow.include_data = flow.include_data and call.include_data
        if call.include_data:
            work.words = _translate.words_of(call.input)
    if flow.root is None and not flow.ended:
        flow.root = work
        flow.context = work.live.span.get_span_context()
    if flow.session_id is None and work.live.session_id is not None:
        top = work
        while top.parent is not None:
            top = top.parent
            top.live.adopt_session(work.live)
        flow.session_id = top.live.session_id
