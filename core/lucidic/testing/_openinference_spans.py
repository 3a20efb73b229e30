"""One view of a span for the validator, whichever form the span comes in."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any, Final, TypeAlias

from openinference.semconv.trace import SpanAttributes
from opentelemetry.sdk.trace import ReadableSpan
from opentelemetry.trace import format_span_id, format_trace_id

from lucidic._records import StoredSpan
from lucidic._spans._attributes import CANCELLED, INCOMPLETE, SESSION_ID, STOPPED_EARLY


AnySpan: TypeAlias = "ReadableSpan | StoredSpan | Mapping[str, Any]"

REDACTED: Final = "__REDACTED__"
"""What OpenInference's masking writes in place of a value."""


@dataclass(frozen=True, slots=True)
class Event:
    """An event of a span."""

    name: str
    attributes: Mapping[str, Any]


@dataclass(frozen=True)
class Seen:
    """A span as the rules see it."""

    trace_id: str
    span_id: str
    parent_id: str | None
    name: str
    status: str
    status_message: str
    start_ns: int | None
    end_ns: int | None
    """None also where the span's form does not carry times."""
    ended: bool
    attributes: Mapping[str, Any]
    events: Sequence[Event] = ()
    scope: str = ""
    dropped: int = 0
    remote_parent: bool = False

    @property
    def kind(self) -> Any:
        return self.attributes.get(SpanAttributes.OPENINFERENCE_SPAN_KIND)

    @property
    def failed(self) -> bool:
        return self.status == "ERROR"

    @property
    def succeeded(self) -> bool:
        """Say whether output is to be expected: neither an error nor something cut short."""
        return not self.failed and not any(
            self.attributes.get(key) for key in (CANCELLED, INCOMPLETE, STOPPED_EARLY)
        )

    @cached_property
    def exceptions(self) -> list[Event]:
        return [event for event in self.events if event.name == "exception"]

    def items(self, prefix: str) -> dict[int, dict[str, Any]]:
        """Return a flattened list as ``{index: {suffix: value}}``, in the order of the indices."""
        found: dict[int, dict[str, Any]] = defaultdict(dict)
        for key, value in self.attributes.items():
            if key.startswith(prefix + "."):
                index, _, suffix = key[len(prefix) + 1 :].partition(".")
                if index.isdecimal() and suffix:
                    found[int(index)][suffix] = value
        return dict(sorted(found.items()))

    def __str__(self) -> str:
        return f"span {self.name!r} ({self.span_id or 'no id'})"


@dataclass(frozen=True)
class Trace:
    """The spans of one trace."""

    trace_id: str
    spans: list[Seen] = field(default_factory=list)

    @cached_property
    def by_id(self) -> dict[str, Seen]:
        return {span.span_id: span for span in self.spans}

    @cached_property
    def roots(self) -> list[Seen]:
        """The spans without a parent; where there is none, those whose parent is in another process."""
        parentless = [span for span in self.spans if span.parent_id is None]
        return parentless or [
            span for span in self.spans if span.remote_parent and span.parent_id not in self.by_id
        ]

    @cached_property
    def sessions(self) -> list[tuple[Seen, Any]]:
        """The ``session.id`` values of the trace, each once, with the first span that has it."""
        found: list[tuple[Seen, Any]] = []
        for span in self.spans:
            value = span.attributes.get(SESSION_ID)
            if value is not None and value not in [known for _, known in found]:
                found.append((span, value))
        return found


def seen(span: AnySpan) -> Seen:
    """Read a span; raise ``TypeError`` for what is none of the three forms."""
    if isinstance(span, ReadableSpan):
        return _of_sdk(span)
    if isinstance(span, StoredSpan):
        return _of_store(span)
    if isinstance(span, Mapping):
        return _of_mapping(span)
    raise TypeError(f"neither a ReadableSpan, a StoredSpan nor a mapping: {span!r}")


def traces(spans: Iterable[Seen]) -> list[Trace]:
    found: dict[str, Trace] = {}
    for span in spans:
        found.setdefault(span.trace_id, Trace(span.trace_id)).spans.append(span)
    return list(found.values())


def _of_sdk(span: ReadableSpan) -> Seen:
    context, parent = span.get_span_context(), span.parent
    return Seen(
        trace_id=format_trace_id(context.trace_id) if context else "",
        span_id=format_span_id(context.span_id) if context else "",
        parent_id=format_span_id(parent.span_id) if parent else None,
        name=span.name,
        status=span.status.status_code.name,
        status_message=span.status.description or "",
        start_ns=span.start_time,
        end_ns=span.end_time,
        ended=span.end_time is not None,
        attributes=dict(span.attributes or {}),
        events=[Event(event.name, dict(event.attributes or {})) for event in span.events],
        scope=span.instrumentation_scope.name if span.instrumentation_scope else "",
        dropped=span.dropped_attributes,
        remote_parent=parent is not None and parent.is_remote,
    )


def _of_store(span: StoredSpan) -> Seen:
    return Seen(
        trace_id=span.trace_id,
        span_id=span.span_id,
        parent_id=span.parent_span_id or None,
        name=span.name,
        status=span.status,
        status_message=span.status_message,
        start_ns=span.start_ns,
        end_ns=span.end_ns,
        ended=True,
        attributes=span.attributes,
        events=[Event(event.name, event.attributes) for event in span.events],
        scope=span.scope_name,
    )


def _of_mapping(span: Mapping[str, Any]) -> Seen:
    scope = span.get("scope") or {}
    return Seen(
        trace_id=str(span.get("trace_id") or ""),
        span_id=str(span.get("span_id") or ""),
        parent_id=span.get("parent_span_id") or span.get("parent") or None,
        name=str(span.get("name") or ""),
        status=str(span.get("status") or "UNSET").upper(),
        status_message=str(span.get("status_message") or ""),
        start_ns=span.get("start_ns"),
        end_ns=span.get("end_ns"),
        ended=span.get("end_ns", 0) is not None,
        attributes=span.get("attributes") or {},
        events=[
            Event(str(event.get("name")), event.get("attributes") or {}) for event in span.get("events") or ()
        ],
        scope=str(scope.get("name") or "") if isinstance(scope, Mapping) else "",
        dropped=span.get("dropped_attributes") or 0,
        remote_parent=bool(span.get("remote_parent")),
    )
