"""The tracer that PydanticAI is given: its spans are the kit's, under the right session."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any, Final

from opentelemetry import context as otel_context
from opentelemetry import trace
from opentelemetry.context import Context
from opentelemetry.trace import Link, SpanContext, SpanKind, Tracer
from opentelemetry.util.types import Attributes
from typing_extensions import override

from lucidic.adapterkit import AdapterTracer, FrameworkID, guarded
from lucidic_adapters.pydantic_ai import _describe
from lucidic_adapters.pydantic_ai._runs import announced, current_run
from lucidic_adapters.pydantic_ai._span import Describe, FrameworkSpan


try:
    from pydantic_ai._durable_replay import snapshot as _snapshot
except ImportError:  # before 2.67 replays are not told from runs
    _snapshot = None  # type: ignore[assignment]

_KINDS: Final[Mapping[str, tuple[str, Describe]]] = {
    "invoke_agent": ("AGENT", _describe.agent),
    "chat": ("LLM", _describe.model_call),
    "attempt": ("LLM", _describe.attempt),
    "execute_tool": ("TOOL", _describe.tool),
    "decide": ("DECISION", _describe.decision),
    "image_generation": ("LLM", _describe.image_generation),
}
TOOLS: Final = "running tools"
"""Before 1.95 the SDK puts a span around the tools of one step; later ones have none, and neither have we."""
_OTHER: Final = ("CHAIN", _describe.other)


class FrameworkTracer(Tracer):
    """Start spans of the kit for what PydanticAI asks for."""

    def __init__(self, tracer: AdapterTracer, session_keys: tuple[str, ...], *, binary: bool = True) -> None:
        self._tracer = tracer
        self._session_keys = session_keys
        self._binary = binary

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
        with guarded("pydantic_ai span"):
            linked = [link.context for link in links or ()]
            return self._start(name, context, dict(attributes or {}), linked, start_time)
        return trace.INVALID_SPAN

    def _start(
        self,
        name: str,
        context: Context | None,
        native: dict[str, Any],
        links: list[SpanContext],
        start_time: int | None,
    ) -> FrameworkSpan:
        operation = _operation(native)
        kind, describe = _KINDS.get(operation, _OTHER)
        run = current_run()
        request = announced() if operation == "chat" else None
        ids: tuple[FrameworkID, ...] = ()
        known: Mapping[str, Any] | None = None
        if operation == "invoke_agent":
            if run is not None and not run.started:
                run.started = True
                ids = run.framework_ids(self._session_keys)
                with guarded("pydantic_ai translation"):
                    known = _describe.started(run)
            else:
                run = None
            name = f"invoke_agent {native.get('agent_name') or 'agent'}"
        elif request is not None and request.direct:
            run = None
        elif operation == "execute_tool":
            name = f"execute_tool {native.get('gen_ai.tool.name')}"
        live = self._tracer.start(
            name,
            kind,
            parent=context,
            framework=ids,
            attributes=known,
            links=links,
            start_time=start_time,
            provisional=_replays(),
        )
        span = FrameworkSpan(live, kind, native, describe, run=run, binary=self._binary)
        span.request = request
        if operation == "attempt" and isinstance(above := trace.get_current_span(context), FrameworkSpan):
            span.request = above.request
        return span

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
        if name == TOOLS:
            yield trace.INVALID_SPAN
            return
        span = self.start_span(name, context, kind, attributes, links, start_time)
        if not isinstance(span, FrameworkSpan) or not span.get_span_context().is_valid:
            yield span
            return
        outside = otel_context.get_current()
        inside = span.context
        otel_context.attach(inside)
        try:
            yield span
        except BaseException as error:
            with guarded("pydantic_ai outcome"):
                span.left_by(error, record=record_exception)
            raise
        finally:
            restore(inside, outside, span)
            if end_on_exit:
                span.end()


def restore(inside: Context, outside: Context, span: trace.Span) -> None:
    """Bring back what was current; in another context (a generator closed elsewhere) there is nothing to undo."""
    current = otel_context.get_current()
    if current is inside or trace.get_current_span(current) is span:
        otel_context.attach(outside)


def _replays() -> bool:
    """Tell whether a durable engine runs here: what it replays, the SDK starts and never ends (2.68)."""
    return _snapshot is not None and _snapshot() is not None


def _operation(native: Mapping[str, Any]) -> str:
    operation = native.get("gen_ai.operation.name")
    if isinstance(operation, str):
        return operation
    if "pydantic_ai.model_request.attempt" in native:
        return "attempt"
    if "gen_ai.tool.name" in native:
        return "execute_tool"
    return "invoke_agent" if "agent_name" in native else ""
