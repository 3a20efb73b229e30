"""Beside another tracer: PydanticAI has one place for an instrumentation, and gets one that makes both spans.

logfire, Langfuse and OpenInference's processor read the SDK's own spans, made by the settings that somebody gave to
``Agent.instrument_all()``. Those spans stay what they are without us: the same parents among themselves, the same
attributes, and the user's spans below them. Ours are made in the same moments, and are no part of their tree.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any, cast

from opentelemetry import context as otel_context
from opentelemetry import trace
from opentelemetry.context import Context
from opentelemetry.trace import Link, SpanContext, SpanKind, Status, StatusCode, Tracer
from opentelemetry.util.types import Attributes, AttributeValue
from pydantic_ai.messages import ModelMessage, ModelResponse
from pydantic_ai.models.instrumented import InstrumentationSettings
from typing_extensions import override

from lucidic.adapterkit import BESIDE_KEY, guarded, reaches_others
from lucidic_adapters.pydantic_ai._settings import LucidicSettings
from lucidic_adapters.pydantic_ai._span import FrameworkSpan
from lucidic_adapters.pydantic_ai._tracer import TOOLS, restore


def beside(theirs: InstrumentationSettings, ours: LucidicSettings) -> InstrumentationSettings:
    """Return settings that are ``theirs`` in everything, and have ``ours`` see it too."""
    made: InstrumentationSettings = type("BothSettings", (_BothSettings, type(theirs)), {})(theirs, ours)
    return made


def ours_of(settings: object) -> LucidicSettings | None:
    """Return our part of instrumentation settings, or ``None`` where they are somebody else's alone."""
    if isinstance(settings, LucidicSettings):
        return settings
    return settings.ours if isinstance(settings, _BothSettings) else None


def theirs_of(settings: InstrumentationSettings | bool) -> InstrumentationSettings | bool:
    """Return what of the settings is not ours."""
    return settings.theirs if isinstance(settings, _BothSettings) else settings


class _BothSettings(InstrumentationSettings):
    def __init__(self, theirs: InstrumentationSettings, ours: LucidicSettings) -> None:
        self.__dict__.update(vars(theirs))
        self.theirs = theirs
        self.ours = ours
        self.tracer = _BothTracer(theirs.tracer, ours.tracer)

    def handle_messages(
        self, input_messages: list[ModelMessage], response: ModelResponse, *rest: Any, **named: Any
    ) -> None:
        """Give each span the messages in the words of its own."""

        def of(part: str) -> tuple[list[Any], dict[str, Any]]:
            def pick(item: Any) -> Any:
                return getattr(item, part) if isinstance(item, _BothSpan) else item

            return list(map(pick, rest)), {key: pick(item) for key, item in named.items()}

        parts, given = of("ours")
        self.ours.handle_messages(input_messages, response, *parts, **given)
        parts, given = of("theirs")
        super().handle_messages(input_messages, response, *parts, **given)


class _BothTracer(Tracer):
    def __init__(self, theirs: Tracer, ours: Tracer) -> None:
        self._theirs = theirs
        self._ours = ours

    @override
    def start_span(
        self,
        name: str,
        context: Context | None = None,
        kind: SpanKind = SpanKind.INTERNAL,
        attributes: Attributes = None,
        links: Sequence[Link] | None = None,
        start_time: int | None = None,
        record_exception: bool = True,
        set_status_on_exception: bool = True,
    ) -> trace.Span:
        here = otel_context.get_current() if context is None else context
        above = trace.get_current_span(here)
        options: dict[str, Any] = {
            "kind": kind, "attributes": attributes, "links": links, "start_time": start_time,
            "record_exception": record_exception, "set_status_on_exception": set_status_on_exception,
        }  # fmt: skip
        if not reaches_others(self._theirs):
            return self._ours.start_span(name, _of_ours(here), **options)
        their_place = trace.set_span_in_context(above.theirs, here) if isinstance(above, _BothSpan) else here
        theirs = self._theirs.start_span(name, Context({**their_place, BESIDE_KEY: True}), **options)
        if isinstance(above, _BothSpan) and name == TOOLS:
            return _BothSpan(theirs, above.ours)
        our_place = _of_ours(here)
        if (
            not isinstance(above, _BothSpan)
            and not above.get_span_context().is_valid
            and theirs.get_span_context().trace_flags.sampled
        ):
            # One trace for both, also for what the user opens inside.
            our_place = Context({**trace.set_span_in_context(theirs, here), BESIDE_KEY: True})
        return _BothSpan(theirs, self._ours.start_span(name, our_place, **options))

    @override
    @contextmanager
    def start_as_current_span(  # type: ignore[override]  # OpenTelemetry's result is a decorator too
        self,
        name: str,
        context: Context | None = None,
        kind: SpanKind = SpanKind.INTERNAL,
        attributes: Attributes = None,
        links: Sequence[Link] | None = None,
        start_time: int | None = None,
        record_exception: bool = True,
        set_status_on_exception: bool = True,
        end_on_exit: bool = True,
    ) -> Iterator[trace.Span]:
        errors = {"record_exception": record_exception, "set_status_on_exception": set_status_on_exception}
        if not reaches_others(self._theirs):
            with self._ours.start_as_current_span(
                name,
                _of_ours(context),
                kind,
                attributes,
                links,
                start_time,
                end_on_exit=end_on_exit,
                **errors,
            ) as span:
                yield span
            return
        both = cast("_BothSpan", self.start_span(name, context, kind, attributes, links, start_time))
        with trace.use_span(both.theirs, end_on_exit=end_on_exit, **errors):
            ours = both.ours
            if not isinstance(ours, FrameworkSpan) or not ours.get_span_context().is_valid:
                yield both
                return
            outside = otel_context.get_current()
            inside = trace.set_span_in_context(both, ours.live.context)
            otel_context.attach(inside)
            try:
                yield both.theirs if name == TOOLS else both
            except BaseException as error:
                if name != TOOLS:
                    with guarded("pydantic_ai outcome"):
                        ours.left_by(error, record=record_exception)
                raise
            finally:
                restore(inside, outside, both)
                if end_on_exit and name != TOOLS:
                    ours.end()


def _of_ours(context: Context | None) -> Context:
    """Return the context in which a span of ours starts: below our part of the current one."""
    here = otel_context.get_current() if context is None else context
    above = trace.get_current_span(here)
    return trace.set_span_in_context(above.ours, here) if isinstance(above, _BothSpan) else here


class _BothSpan(trace.Span):
    """Two spans for whoever sets something on the current one; it stands where theirs would stand without us."""

    def __init__(self, theirs: trace.Span, ours: trace.Span) -> None:
        self.theirs = theirs
        self.ours = ours
        self._both = (theirs, ours)

    def __getattr__(self, name: str) -> Any:
        # Ours is the parent of what our other adapters start below; all else that is read here is theirs.
        return getattr(self.ours if name.startswith("_lucidic") else self.theirs, name)

    @override
    def get_span_context(self) -> SpanContext:
        theirs, ours = (span.get_span_context() for span in self._both)
        return ours if ours.is_valid and ours.trace_id != theirs.trace_id else theirs

    @override
    def is_recording(self) -> bool:
        return any(span.is_recording() for span in self._both)

    @override
    def set_attributes(self, attributes: Mapping[str, AttributeValue]) -> None:
        for span in self._both:
            span.set_attributes(attributes)

    @override
    def set_attribute(self, key: str, value: AttributeValue) -> None:
        for span in self._both:
            span.set_attribute(key, value)

    @override
    def add_event(self, name: str, attributes: Attributes = None, timestamp: int | None = None) -> None:
        for span in self._both:
            span.add_event(name, attributes, timestamp)

    @override
    def add_link(self, context: SpanContext, attributes: Attributes = None) -> None:
        for span in self._both:
            span.add_link(context, attributes)

    @override
    def update_name(self, name: str) -> None:
        for span in self._both:
            span.update_name(name)

    @override
    def set_status(self, status: Status | StatusCode, description: str | None = None) -> None:
        for span in self._both:
            span.set_status(status, description)

    @override
    def record_exception(
        self,
        exception: BaseException,
        attributes: Attributes = None,
        timestamp: int | None = None,
        escaped: bool = False,
    ) -> None:
        for span in self._both:
            span.record_exception(exception, attributes, timestamp, escaped)

    @override
    def end(self, end_time: int | None = None) -> None:
        for span in reversed(self._both):
            span.end(end_time)
