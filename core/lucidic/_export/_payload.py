"""What the journal's records hold, packed and unpacked."""

from __future__ import annotations

import hashlib
import json
import struct
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final, NamedTuple

from openinference.semconv.trace import OpenInferenceSpanKindValues, SpanAttributes
from opentelemetry.sdk.trace import ReadableSpan

from lucidic._export._decode import decode_pair, raw_fields
from lucidic._export._encode import (
    encode_attributes,
    encode_head,
    encode_resource,
    encode_scope,
    encode_span,
    utf8,
)
from lucidic._records import SessionRecord
from lucidic._sdk import raw_attributes


SESSION_KEY: Final = "lucidic.session_id"
INCOMPLETE_KEY: Final = "lucidic.incomplete"
TRUNCATED_KEY: Final = "lucidic.truncated"
KIND_KEY: Final = SpanAttributes.OPENINFERENCE_SPAN_KIND
_START_KEYS: Final = (SESSION_KEY, "session.id", "gen_ai.conversation.id", "lucidic.session.source", KIND_KEY)
_TOKEN_KEYS: Final = (
    SpanAttributes.LLM_TOKEN_COUNT_PROMPT,
    SpanAttributes.LLM_TOKEN_COUNT_COMPLETION,
    SpanAttributes.LLM_TOKEN_COUNT_TOTAL,
)
_COUNTED_KINDS: Final = frozenset(
    {OpenInferenceSpanKindValues.LLM.value, OpenInferenceSpanKindValues.EMBEDDING.value}
)
_INDEX = struct.Struct("<8sBQQIIIi")
_LENGTHS = struct.Struct("<IIII")
_TOKENS_MAX = (1 << 32) - 1


class SpanEntry(NamedTuple):
    """A span of the journal: what sinks need to know of it without decoding, and its OTLP bytes."""

    origin: bytes
    """Key of the resource and scope."""
    status: int
    """0 unset, 1 ok, 2 error."""
    start_ns: int
    end_ns: int
    prompt_tokens: int
    completion_tokens: int
    total_tokens: int
    session_id: str | None
    data: bytes
    """The OTLP ``Span``."""

    @property
    def trace_id(self) -> bytes:
        """The 16 bytes of the trace id."""
        return self.data[2:18]

    @property
    def span_id(self) -> bytes:
        """The 8 bytes of the span id."""
        return self.data[20:28]


@dataclass(frozen=True, slots=True)
class Origin:
    """Where spans come from: resource and scope, as OTLP bytes."""

    key: bytes
    resource: bytes
    resource_schema: str
    scope: bytes
    scope_schema: str


UNKNOWN_ORIGIN: Final = Origin(b"\0" * 8, b"", "", b"", "")
"""Stands in for an origin whose record is damaged."""


def pack_origin(span: ReadableSpan) -> tuple[bytes, bytes]:
    """Encode where a span comes from; return the key and the record's payload."""
    scope = span.instrumentation_scope
    parts = (
        encode_resource(span.resource),
        utf8(span.resource.schema_url or ""),
        encode_scope(scope),
        utf8((scope.schema_url or "") if scope else ""),
    )
    body = _pack_parts(parts)
    key = hashlib.blake2s(body, digest_size=8).digest()
    return key, key + body


def pack_origin_record(origin: Origin) -> bytes:
    """Pack an origin that was unpacked before."""
    schemas = origin.resource_schema.encode(), origin.scope_schema.encode()
    return origin.key + _pack_parts((origin.resource, schemas[0], origin.scope, schemas[1]))


def _pack_parts(parts: tuple[bytes, ...]) -> bytes:
    return _LENGTHS.pack(*map(len, parts)) + b"".join(parts)


def unpack_origin(payload: bytes) -> Origin:
    """Read an origin record.

    Raises:
        struct.error: The payload is too short.
    """
    at = 8 + _LENGTHS.size
    parts = []
    for size in _LENGTHS.unpack_from(payload, 8):
        parts.append(payload[at : at + size])
        at += size
    return Origin(payload[:8], parts[0], parts[1].decode(), parts[2], parts[3].decode())


def _tokens(attributes: Mapping[str, Any]) -> tuple[int, int, int]:
    # Agents repeat the sums of their model calls: only the calls themselves count.
    if attributes.get(KIND_KEY) not in _COUNTED_KINDS:
        return (0, 0, 0)
    prompt, completion, total = map(attributes.get, _TOKEN_KEYS)
    prompt, completion, total = _tokens_of(prompt), _tokens_of(completion), _tokens_of(total)
    return (prompt, completion, total or min(prompt + completion, _TOKENS_MAX))


def _tokens_of(value: object) -> int:
    return value if type(value) is int and 0 <= value <= _TOKENS_MAX else _bounded(value)


def _bounded(value: object) -> int:
    return min(max(value, 0), _TOKENS_MAX) if type(value) is int else 0


def _pack(
    origin: bytes,
    status: int,
    times: tuple[int, int],
    tokens: tuple[int, int, int],
    session: bytes | None,
    data: bytes,
) -> bytes:
    size = -1 if session is None else len(session)
    return b"".join((_INDEX.pack(origin, status, *times, *tokens, size), session or b"", data))


def _session(attributes: Mapping[str, Any]) -> bytes | None:
    session_id = attributes.get(SESSION_KEY)
    return utf8(session_id) if isinstance(session_id, str) else None


def pack_span(span: ReadableSpan, origin: bytes, limit: int) -> bytes:
    """Encode an ended span for the journal; one of more than ``limit`` bytes has its longest values cut."""
    attributes = raw_attributes(span)
    data = encode_span(span)
    if len(data) > limit:
        data = _encode_cut(span, attributes, limit)
    times = (span.start_time or 0, span.end_time or 0)
    return _pack(
        origin, span.status.status_code.value, times, _tokens(attributes), _session(attributes), data
    )


def _encode_cut(span: ReadableSpan, attributes: Mapping[str, Any], limit: int) -> bytes:
    for size in (65536, 4096, 256):
        cut: dict[str, Any] = {TRUNCATED_KEY: True}
        for key, value in attributes.items():
            cut[key] = _cut(value, size)
        data = encode_span(span, cut)
        if len(data) <= limit:
            return data
    kept = {key: _cut(attributes[key], 256) for key in _START_KEYS if key in attributes}
    # Thousands of attributes or events: what is left says what the span was and that it was cut.
    return encode_head(span) + encode_closing_of(span, {**kept, TRUNCATED_KEY: True})


def encode_closing_of(span: ReadableSpan, attributes: Mapping[str, Any]) -> bytes:
    """Encode the end of a span that keeps nothing but these attributes."""
    end = struct.pack("<BQ", 0x41, span.end_time or 0)
    code = span.status.status_code.value
    status = bytes((0x7A, 2, 0x18, code)) if code else b"\x7a\x00"
    return end + encode_attributes(attributes, b"\x4a") + status + b"\x85\x01\x00\x01\x00\x00"


def _cut(value: object, size: int) -> object:
    if isinstance(value, str):
        return value if len(value) <= size else value[:size] + "…"
    if isinstance(value, bytes):
        return value[:size]
    if isinstance(value, tuple | list):
        return [_cut(item, size) for item in value[:size]]
    return value


def shorten_entry(entry: SpanEntry, size: int) -> SpanEntry:
    """Cut the texts and bytes of a span's attributes to ``size`` and mark it; its events go."""
    parts = []
    for number, raw, value in raw_fields(entry.data):
        if number == 9:
            key, content = decode_pair(value)
            parts.append(encode_attributes({key: _cut(content, size)}, b"\x4a"))
        elif number != 11:
            parts.append(raw)
    data = b"".join((*parts, encode_attributes({TRUNCATED_KEY: True}, b"\x4a")))
    return entry._replace(data=data)


def pack_start(span: ReadableSpan, origin: bytes) -> bytes:
    """Encode a span that starts: its head, and of its attributes only ids and kind, which hold no content."""
    few = tuple(map(raw_attributes(span).get, _START_KEYS))
    encoded, session = _starts.get(few) or _encode_start(few)
    return _pack(origin, 0, (span.start_time or 0, 0), (0, 0, 0), session, encode_head(span) + encoded)


_starts: dict[tuple[Any, ...], tuple[bytes, bytes | None]] = {}
_STARTS_LIMIT: Final = 1024


def _encode_start(few: tuple[Any, ...]) -> tuple[bytes, bytes | None]:
    # The spans of a session begin with the same attributes, again and again.
    attributes = {key: value for key, value in zip(_START_KEYS, few, strict=True) if value is not None}
    found = encode_attributes(attributes, b"\x4a"), _session(attributes)
    if len(_starts) >= _STARTS_LIMIT:
        _starts.clear()
    if all(value is None or type(value) is str for value in few):
        _starts[few] = found
    return found


def pack_entry(entry: SpanEntry) -> bytes:
    """Pack a span that was unpacked before."""
    tokens = (entry.prompt_tokens, entry.completion_tokens, entry.total_tokens)
    session = None if entry.session_id is None else utf8(entry.session_id)
    return _pack(entry.origin, entry.status, (entry.start_ns, entry.end_ns), tokens, session, entry.data)


def unpack_span(payload: bytes) -> SpanEntry:
    """Read a span's or a start's record.

    Raises:
        struct.error: The payload is too short.
        ValueError: The session id is no text, or the bytes begin with no ids.
    """
    origin, status, start, end, prompt, completion, total, size = _INDEX.unpack_from(payload)
    at = _INDEX.size
    session = None
    if size >= 0:
        session = payload[at : at + size].decode()
        at += size
    data = payload[at:]
    if data[:2] != b"\x0a\x10" or data[18:20] != b"\x12\x08":
        raise ValueError("A span of the journal does not begin with its ids.")
    return SpanEntry(origin, status, start, end, prompt, completion, total, session, data)


def pack_session(record: SessionRecord) -> bytes:
    """Encode a change of a session."""
    text = json.dumps(
        {
            "session_id": record.session_id,
            "event": record.event,
            "time_ns": record.time_ns,
            "source": record.source,
            "fields": dict(record.fields),
        },
        default=str,
        ensure_ascii=False,  # an escape would carry a lone surrogate to a database that refuses it
    )
    return utf8(text)


def unpack_session(payload: bytes) -> SessionRecord:
    """Read a change of a session.

    Raises:
        ValueError: The payload is not JSON.
        TypeError: The payload is JSON of something else.
    """
    return SessionRecord(**json.loads(payload))
