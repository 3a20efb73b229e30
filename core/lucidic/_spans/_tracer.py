"""The tracer that adapters use: it decides the session before the span starts, and splits traces."""

from __future__ import annotations

import time
import traceback
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, Final

from openinference.semconv.trace import SpanAttributes
from opentelemetry import trace
from opentelemetry.context import _SUPPRESS_INSTRUMENTATION_KEY, Context
from opentelemetry.sdk.trace import ReadableSpan
from opentelemetry.trace import Link, Span, SpanContext, SpanKind, Status, StatusCode, Tracer

from lucidic import _binding
from lucidic._guard import guarded
from lucidic._spans import _attributes as keys
from lucidic._spans._correlation import Decision, FrameworkID, SessionFrom
from lucidic._spans._decide import decide
from lucidic._spans._place import Place, left_link, must_split, pass_over_others
from lucidic._spans._privacy import Privacy
from lucidic._spans._processor import PLAN_KEY, Plan, session_attributes
from lucidic._spans._put import put_attributes
from lucidic._spans._state import HERE_KEY, is_open, state_of


KIND: Final = SpanAttributes.OPENINFERENCE_SPAN_KIND
_ROOT_IO = (SpanAttributes.INPUT_VALUE, SpanAttributes.OUTPUT_VALUE)
_SMALLEST_LIMIT = 100
_OK: Final = Status(StatusCode.OK)


class LiveSpan:
    """A span that an adapter has started and will end; every method is safe to call at any time."""

    __slots__ = ("_children", "_kept", "_parent", "_privacy", "_set", "_span", "context", "state")

    def __init__(
        self,
        span: Span,
        context: Context,
        privacy: Privacy,
        parent: LiveSpan | None,
        kept: dict[str, Any] | None = None,
    ) -> None:
        self._span = span
        self._privacy = privacy
        self._parent = parent
        self._children: dict[int, LiveSpan] = {}
        # OpenTelemetry drops the oldest attribute at its limit: ids, kind and root I/O are set again at the end.
        self._kept: dict[str, Any] = {} if kept is None else kept
        self._set = len(self._kept)
        self.context = context
        """An OpenTelemetry context in which this span is current, for the user code below it."""
        self.state = state_of(span)
        if parent is not None and self.state is not None:
            parent._children[id(self)] = self

    @property
    def span(self) -> Span:
        """The OpenTelemetry span."""
        return self._span

    @property
    def session_id(self) -> str | None:
        """The session that the span was stamped with."""
        return None if self.state is None else self.state.session_id

    @property
    def is_recording(self) -> bool:
        """False once ended, and for spans that are sampled out or suppressed: spare the translation."""
        return self._span.is_recording()

    def set(self, attributes: Mapping[str, Any]) -> None:
        """Set attributes, masked; ``None`` values are left out."""
        if attributes and self._span.is_recording():
            self._put(self._clean(attributes))

    def _put(self, clean: dict[str, Any]) -> None:
        self._set += len(clean)
        for key in _ROOT_IO:
            if key in clean:
                self._kept[key] = clean[key]
        put_attributes(self._span, clean)

    def rename(self, name: str) -> None:
        """Change the span's name."""
        self._span.update_name(name)

    def event(
        self, name: str, attributes: Mapping[str, Any] | None = None, *, time_ns: int | None = None
    ) -> None:
        """Add an event, its attributes masked."""
        if self._span.is_recording():
            at = time.time_ns() if time_ns is None else time_ns
            given = attributes or {}
            if self._privacy.active:
                given = self._privacy.attributes(given)
                self._note_masked([(name, at)])
            self._span.add_event(name, dict(given), at)

    def link(self, context: SpanContext, attributes: Mapping[str, Any] | None = None) -> None:
        """Link another span."""
        if self._span.is_recording():
            self._span.add_link(context, attributes)

    def exception(self, error: BaseException) -> None:
        """Record an exception event (OpenTelemetry's attribute names), masked; sets no status."""
        if not self._span.is_recording():
            return
        kind = type(error)
        name = (
            kind.__qualname__ if kind.__module__ == "builtins" else f"{kind.__module__}.{kind.__qualname__}"
        )
        self.event(
            "exception",
            {
                "exception.type": name,
                "exception.message": _text_of(error),
                "exception.stacktrace": _stacktrace_of(error),
                "exception.escaped": "False",
            },
        )

    def adopt_session(self, below: LiveSpan) -> None:
        """Take over the session that a span below learnt after this one had started without any.

        Some frameworks make an id only with a run's first request. A span that has a session keeps it.
        """
        mine, theirs = self.state, below.state
        if mine is None or theirs is None or mine.session_id is not None or mine.trace is not theirs.trace:
            return
        session_id = mine.session_id = theirs.session_id
        if session_id is None or not self._span.is_recording():
            return
        given = below.span.attributes if isinstance(below.span, ReadableSpan) else None
        ids = dict.fromkeys(keys.SESSION_KEYS, session_id)
        self._kept.update(ids)
        self.set({keys.SESSION_SOURCE: (given or {}).get(keys.SESSION_SOURCE), **ids})
        self.context = Context({**self.context, _binding.SESSION_KEY: session_id})

    def end(
        self,
        *,
        error: BaseException | str | None = None,
        ok: bool = True,
        attributes: Mapping[str, Any] | None = None,
        end_time: int | None = None,
    ) -> None:
        """End the span, and what is still open below it; a second call does nothing.

        Args:
            error: What failed: an exception (recorded as an event) or a message; status ERROR.
            ok: Without an error, set status OK (default), else leave it UNSET.
            attributes: Last attributes.
            end_time: Nanoseconds since the epoch; default now.

        """
        if not is_open(self._span):
            self._forget()
            return
        with guarded("span end"):
            if self._children:
                self._end_children(end_time)
            if attributes:
                self.set(attributes)
            if isinstance(error, BaseException):
                self.exception(error)
                self._fail(summary_of(error))
            elif error is not None:
                self._fail(error)
            elif ok:
                self._span.set_status(_OK)
            if self._set >= _SMALLEST_LIMIT:
                self._span.set_attributes(self._kept)
        self._span.end(end_time)
        self._forget()

    def _fail(self, text: str) -> None:
        self._note_masked(["status"])
        self._span.set_status(Status(StatusCode.ERROR, self._privacy.text(text)))

    def _note_masked(self, names: Iterable[object]) -> None:
        if self.state is not None:
            self.state.masked.update(names)

    def _forget(self) -> None:
        if self._parent is not None:
            self._parent._children.pop(id(self), None)
            self._parent = None

    def _end_children(self, end_time: int | None) -> None:
        for child in list(self._children.values()):
            child.end(ok=False, attributes={keys.INCOMPLETE: True}, end_time=end_time)

    def _clean(self, attributes: Mapping[str, Any]) -> dict[str, Any]:
        given = {key: value for key, value in attributes.items() if value is not None}
        if not self._privacy.active:
            return given
        self._note_masked(given)
        return self._privacy.attributes(given)


class AdapterTracer:
    """Start spans for one adapter: session decided first, parent chosen, content masked."""

    def __init__(
        self,
        tracer: Callable[[], Tracer],
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

        """
        current = _binding.cleaned()
        base = _binding.cleaned(parent) if isinstance(parent, Context) else current
        if base.get(_SUPPRESS_INSTRUMENTATION_KEY) or current.get(_SUPPRESS_INSTRUMENTATION_KEY):
            return LiveSpan(trace.INVALID_SPAN, base, self._privacy(), None)
        values: dict[str, Any] = dict(base)
        above: LiveSpan | None = None
        if isinstance(parent, LiveSpan):
            above = parent
            values[_binding.SPAN_KEY] = parent.span
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
        link_list = [Link(link) for link in links]
        if must_split(None if state is None else state.trace, decision.session_id):
            link_list.append(left_link(values[_binding.SPAN_KEY].get_span_context()))
            values[_binding.SPAN_KEY] = trace.INVALID_SPAN
            state = above = None
        elif must_split(place.trace, decision.session_id):
            values[_binding.SPAN_KEY] = trace.INVALID_SPAN
            place = Place(None)
        elif isinstance(left := values.get(_binding.LEFT_KEY), SpanContext) and left.is_valid:
            span_here = values.get(_binding.SPAN_KEY)
            if span_here is None or not span_here.get_span_context().is_valid:
                link_list.append(left_link(left))
        values[PLAN_KEY] = Plan(
            decision,
            parent=state,
            trace_state=place.trace if state is None else state.trace,
            keyed=decision.session_id or around.keyed,
            stamped=True,
            provisional=provisional,
            moved=place.moved,
        )
        return self._start(name, kind, values, above, decision, attributes, link_list, start_time)

    def _start(
        self,
        name: str,
        kind: str,
        values: dict[str, Any],
        above: LiveSpan | None,
        decision: Decision,
        attributes: Mapping[str, Any] | None,
        links: list[Link],
        start_time: int | None,
    ) -> LiveSpan:
        """Start the span in the context of ``values``, and make of them the context of what runs below it."""
        given = (
            {} if not attributes else {key: value for key, value in attributes.items() if value is not None}
        )
        start_in = Context(values)
        essential = {KIND: kind, **session_attributes(decision, kind, given, start_in)}
        privacy = self._privacy()
        if privacy.active:
            essential, given = privacy.attributes(essential), privacy.attributes(given)
        span = self._tracer().start_span(
            name,
            context=start_in,
            kind=SpanKind.INTERNAL,
            attributes=essential,
            links=links,
            start_time=start_time,
        )
        del values[PLAN_KEY]
        values.pop(_binding.LEFT_KEY, None)
        values[_binding.SPAN_KEY] = span
        if decision.session_id is None:
            values.pop(_binding.SESSION_KEY, None)
        else:
            values[_binding.SESSION_KEY] = decision.session_id
        values[HERE_KEY] = state_of(span)
        live = LiveSpan(span, Context(values), privacy, above, essential)
        if privacy.active and live.state is not None:
            live.state.privacy = privacy
            live.state.masked.update(essential, given)
        live._put(given)
        return live


def _text_of(error: BaseException) -> str:
    try:
        return str(error)
    except Exception:  # noqa: BLE001  # a foreign __str__
        return f"<{type(error).__name__}: no text>"


def summary_of(error: BaseException) -> str:
    """Return an error in one line: its type, and its text if it has one."""
    text = _text_of(error)
    return f"{type(error).__name__}: {text}" if text else type(error).__name__


def _stacktrace_of(error: BaseException) -> str:
    try:
        return "".join(traceback.format_exception(error))
    except Exception:  # noqa: BLE001  # a foreign __str__ somewhere in the chain
        return f"<{type(error).__name__}: no stack trace>"
