"""The records that pass between making spans, storing them and showing them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal, TypeAlias


JSONValue: TypeAlias = "str | int | float | bool | list[JSONValue] | dict[str, JSONValue] | None"
"""What JSON can hold."""

SessionEvent = Literal["start", "update", "end"]
SessionState = Literal["active", "finished", "died"]


@dataclass(frozen=True, kw_only=True, slots=True)
class SessionRecord:
    """One change of a session, as written to the journal.

    ``fields`` holds what the change sets: ``name``, ``task``, ``tags``, ``user_id``, ``is_successful``,
    ``is_successful_reason``, ``session_eval``, ``session_eval_reason``, ``auto_end``.
    """

    session_id: str
    event: SessionEvent
    time_ns: int
    source: str = "lucidic"
    """Where the id came from: ``init``, ``session``, ``bind``, ``langchain.metadata.thread_id``, …"""
    fields: Mapping[str, JSONValue] = field(default_factory=dict)


@dataclass(frozen=True, kw_only=True, slots=True)
class SpanEvent:
    """One event of a span."""

    name: str
    time_ns: int
    attributes: Mapping[str, JSONValue] = field(default_factory=dict)


@dataclass(frozen=True, kw_only=True, slots=True)
class SpanLink:
    """One link of a span; ids are lower-case hex."""

    trace_id: str
    span_id: str
    attributes: Mapping[str, JSONValue] = field(default_factory=dict)


@dataclass(frozen=True, kw_only=True, slots=True)
class StoredSpan:
    """A finished span as the local store gives it back; ids are lower-case hex (32 and 16 digits)."""

    trace_id: str
    span_id: str
    parent_span_id: str | None
    name: str
    kind: str
    """OpenTelemetry's span kind: ``INTERNAL``, ``CLIENT``, …; OpenInference's kind is an attribute."""
    status: str
    """``UNSET``, ``OK`` or ``ERROR``."""
    status_message: str
    start_ns: int
    end_ns: int
    session_id: str | None
    attributes: Mapping[str, JSONValue]
    events: tuple[SpanEvent, ...] = ()
    links: tuple[SpanLink, ...] = ()
    scope_name: str = ""
    scope_version: str = ""
    resource: Mapping[str, JSONValue] = field(default_factory=dict)


AnnotatorKind = Literal["HUMAN", "LLM", "CODE"]


@dataclass(frozen=True, kw_only=True, slots=True)
class Score:
    """What somebody thinks of a session, or of one span."""

    name: str
    value: str | bool | int | float
    comment: str | None = None
    annotator_kind: AnnotatorKind = "HUMAN"
    identifier: str = ""
    """Of two scores of one target with one name and one identifier, the later one counts."""
    metadata: Mapping[str, JSONValue] = field(default_factory=dict)
    session_id: str | None = None
    trace_id: str | None = None
    """Of the span that is scored, as ``span_id``; 32 hex digits. None: the session is."""
    span_id: str | None = None
    time_ns: int = 0


@dataclass(frozen=True, kw_only=True, slots=True)
class StoredSession:
    """A session as the registry knows it, with the sums over its spans."""

    session_id: str
    name: str | None
    state: SessionState
    source: str
    owner: str
    """``host:pid`` of the process that opened it last."""
    started_ns: int
    ended_ns: int | None
    fields: Mapping[str, JSONValue]
    """What the session's records set: task, tags, user_id, is_successful, …"""
    traces: int = 0
    spans: int = 0
    errors: int = 0
    prompt_tokens: int = 0
    completion_tokens: int = 0
    total_tokens: int = 0
    scores: tuple[Score, ...] = ()
    """The session's own scores, the oldest first; those of its spans are spans below these."""


@dataclass(frozen=True, kw_only=True, slots=True)
class StoredTrace:
    """One trace of a session as the sums over its spans there; times are nanoseconds since the epoch."""

    trace_id: str
    spans: int
    errors: int
    total_tokens: int
    start_ns: int
    end_ns: int
