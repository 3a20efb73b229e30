"""A span as OTLP bytes, written by hand.

The bytes are the ones that ``opentelemetry-exporter-otlp-proto-common`` makes of the same span (OTLP 1.x,
``opentelemetry/proto/trace/v1/trace.proto``); a property test holds both against each other. The library builds
a protobuf object for every attribute, which costs several times what the disk does.
"""

from __future__ import annotations

import struct
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import ReadableSpan
from opentelemetry.sdk.util.instrumentation import InstrumentationScope

from lucidic._sdk import raw_attributes


_double = struct.Struct("<d").pack
_fixed64 = struct.Struct("<Q").pack
_SMALL = tuple(bytes((n,)) for n in range(128))
_FLAGS_LOCAL = b"\x00\x01\x00\x00"
_FLAGS_REMOTE = b"\x00\x03\x00\x00"
_KEYS: dict[str, bytes] = {}
_KEYS_LIMIT = 4096
_PAIRS: dict[bytes, dict[tuple[str, str | int], bytes]] = {}
_PAIRS_LIMIT = 2048
_SHORT = 64
_VARINTS_LIMIT = 4096
_INT64_MIN, _INT64_MAX = -(1 << 63), (1 << 63) - 1


class _Varints(dict[int, bytes]):
    """Varints by number, made at the first need: to look one up is a third of the cost of making it."""

    def __missing__(self, number: int) -> bytes:
        rest, out = number, bytearray()
        while rest > 0x7F:
            out.append(rest & 0x7F | 0x80)
            rest >>= 7
        out.append(rest)
        made = bytes(out)
        if len(self) < _VARINTS_LIMIT:
            self[number] = made
        return made


varint: Callable[[int], bytes] = _Varints(enumerate(_SMALL)).__getitem__
"""Encode an unsigned integer as a protobuf varint."""


def utf8(text: str) -> bytes:
    """Encode text; what UTF-8 cannot hold (lone surrogates) becomes ``?``, so that no attribute is lost."""
    return text.encode("utf-8", "replace")


def message(tag: bytes, body: bytes) -> bytes:
    """Frame a length-delimited field."""
    return b"".join((tag, varint(len(body)), body))


def text_field(tag: bytes, text: str | None) -> bytes:
    """Encode a proto3 string field; the empty one takes no bytes."""
    return message(tag, utf8(text)) if text else b""


def _encode_int(value: int) -> bytes:
    if 0 <= value <= _INT64_MAX:
        return b"\x18" + varint(value)
    if _INT64_MIN <= value < 0:
        return b"\x18" + varint(value + (1 << 64))
    return message(b"\x0a", str(value).encode())


def _encode_str(value: str) -> bytes:
    return message(b"\x0a", utf8(value))


_BY_TYPE: dict[type, Callable[[Any], bytes]] = {
    str: _encode_str,
    int: _encode_int,
    bool: lambda value: b"\x10\x01" if value else b"\x10\x00",
    float: lambda value: b"\x21" + _double(value),
    bytes: lambda value: message(b"\x3a", value),
    type(None): lambda _: b"",
}


def encode_value(value: object) -> bytes:
    """Encode one ``AnyValue``; what OTLP has no type for becomes text."""
    known = _BY_TYPE.get(type(value))
    if known is not None:
        return known(value)
    for kind in (str, int, float, bytes):
        if isinstance(value, kind):
            return _BY_TYPE[kind](value)
    if isinstance(value, Sequence):
        return message(b"\x2a", b"".join(message(b"\x0a", encode_value(item)) for item in value))
    if isinstance(value, Mapping):
        pairs = (message(b"\x0a", _key_value(str(key), item)) for key, item in value.items())
        return message(b"\x32", b"".join(pairs))
    return _encode_str(str(value))


def _key(key: str) -> bytes:
    cached = _KEYS.get(key)
    if cached is None:
        cached = text_field(b"\x0a", key)
        if len(_KEYS) < _KEYS_LIMIT:
            _KEYS[key] = cached
    return cached


def _key_value(key: str, value: object) -> bytes:
    encoded = encode_value(value)
    return b"".join((_key(key), b"\x12", varint(len(encoded)), encoded))


def encode_attributes(attributes: Mapping[str, Any] | None, tag: bytes) -> bytes:
    """Encode attributes as repeated ``KeyValue`` fields with that tag."""
    if not attributes:
        return b""
    out: list[bytes] = []
    add = out.append
    pairs = _PAIRS.setdefault(tag, {})
    for key, value in getattr(attributes, "_dict", attributes).items():
        if type(value) is str and len(value) > _SHORT:
            # Text is most of what spans hold: framed from the inside out, and copied once, by the join.
            text = value.encode("utf-8", "replace")
            size = varint(len(text))
            inner = 1 + len(size) + len(text)
            inner_size = varint(inner)
            name = _KEYS.get(key) or _key(key)
            pair_size = varint(len(name) + 1 + len(inner_size) + inner)
            add(b"%b%b%b\x12%b\x0a%b" % (tag, pair_size, name, inner_size, size))
            add(text)
            continue
        if type(value) is not str and type(value) is not int:
            pair = _key_value(key, value)
            out += (tag, varint(len(pair)), pair)
            continue
        # Ids, kinds, names, counts: the same few pairs on every span of a session.
        short = pairs.get((key, value))
        if short is None:
            pair = _key_value(key, value)
            short = b"".join((tag, varint(len(pair)), pair))
            if len(pairs) >= _PAIRS_LIMIT:
                pairs.clear()
            pairs[key, value] = short
        add(short)
    return b"".join(out)


def _count(tag: bytes, number: int) -> bytes:
    return tag + varint(number) if number else b""


def _flags(context: Any) -> bytes:
    return _FLAGS_REMOTE if context is not None and context.is_remote else _FLAGS_LOCAL


def _encode_event(event: Any) -> bytes:
    time_ns = event.timestamp
    body = b"".join(
        (
            b"\x09" + _fixed64(time_ns) if time_ns else b"",
            text_field(b"\x12", event.name),
            encode_attributes(event.attributes, b"\x1a"),
            _count(b"\x20", getattr(event, "dropped_attributes", 0)),
        )
    )
    return message(b"\x5a", body)


def _encode_link(link: Any) -> bytes:
    context = link.context
    body = b"".join(
        (
            b"\x0a\x10",
            context.trace_id.to_bytes(16, "big"),
            b"\x12\x08",
            context.span_id.to_bytes(8, "big"),
            encode_attributes(link.attributes, b"\x22"),
            _count(b"\x28", getattr(link, "dropped_attributes", 0)),
            b"\x35",
            _flags(context),
        )
    )
    return message(b"\x6a", body)


def _encode_status(span: ReadableSpan) -> bytes:
    status = span.status
    code = status.status_code.value
    if not code and not status.description:
        return b"\x7a\x00"
    return message(
        b"\x7a", text_field(b"\x12", status.description) + (b"\x18" + _SMALL[code] if code else b"")
    )


def encode_head(span: ReadableSpan) -> bytes:
    """Encode ids, name, kind and start time: the fields that a span has when it starts.

    The first 28 bytes are always the trace id (bytes 2 to 18) and the span id (20 to 28).
    """
    context = span.get_span_context()
    assert context is not None  # noqa: S101 - a recording span has one
    parent = span.parent
    state = context.trace_state
    start = span.start_time
    return b"".join(
        (
            b"\x0a\x10",
            context.trace_id.to_bytes(16, "big"),
            b"\x12\x08",
            context.span_id.to_bytes(8, "big"),
            text_field(b"\x1a", ",".join(f"{key}={value}" for key, value in state.items())) if state else b"",
            b"\x22\x08" + parent.span_id.to_bytes(8, "big") if parent else b"",
            text_field(b"\x2a", span.name),
            b"\x30",
            _SMALL[span.kind.value + 1],
            b"\x39" + _fixed64(start) if start else b"",
        )
    )


def encode_span(span: ReadableSpan, attributes: Mapping[str, Any] | None = None) -> bytes:
    """Encode an ended span as an OTLP ``Span``.

    Args:
        span: The span.
        attributes: What to write in place of the span's own attributes.
    """
    end = span.end_time
    events, links = span.events, span.links
    parts = (
        encode_head(span),
        b"\x41" + _fixed64(end) if end else b"",
        encode_attributes(raw_attributes(span) if attributes is None else attributes, b"\x4a"),
        _count(b"\x50", span.dropped_attributes),
        b"".join(map(_encode_event, events)) if events else b"",
        _count(b"\x60", span.dropped_events),
        b"".join(map(_encode_link, links)) if links else b"",
        _count(b"\x70", span.dropped_links),
        _encode_status(span),
        b"\x85\x01",
        _flags(span.parent),
    )
    return b"".join(parts)


def encode_closing(end_ns: int, description: str, attributes: Mapping[str, Any]) -> bytes:
    """Encode what makes an OTLP span of a span's head: the end time, more attributes and the status ERROR.

    Protobuf reads fields in any order, so these bytes go behind the head's.
    """
    status = message(b"\x7a", text_field(b"\x12", description) + b"\x18\x02")
    flags = b"\x85\x01" + _FLAGS_LOCAL
    return b"".join((b"\x41", _fixed64(end_ns), encode_attributes(attributes, b"\x4a"), status, flags))


def encode_resource(resource: Resource) -> bytes:
    """Encode an OTLP ``Resource``."""
    return encode_attributes(resource.attributes, b"\x0a")


def encode_scope(scope: InstrumentationScope | None) -> bytes:
    """Encode an OTLP ``InstrumentationScope``."""
    if scope is None:
        return b""
    return b"".join(
        (
            text_field(b"\x0a", scope.name),
            text_field(b"\x12", scope.version),
            encode_attributes(scope.attributes, b"\x1a"),
        )
    )


def encode_request(
    groups: Iterable[tuple[bytes, str, Iterable[tuple[bytes, str, Iterable[bytes]]]]],
) -> bytes:
    """Encode an ``ExportTraceServiceRequest`` from resources, their scopes and the scopes' encoded spans.

    The spans are copied once, by the last join: a batch may be the most memory that the exporter ever holds.
    """
    out: list[bytes] = []
    for resource, resource_schema, scopes in groups:
        body = [message(b"\x0a", resource)]
        for scope, scope_schema, spans in scopes:
            inner = [message(b"\x0a", scope)]
            for span in spans:
                inner += (b"\x12", varint(len(span)), span)
            inner.append(text_field(b"\x1a", scope_schema))
            body += (b"\x12", varint(sum(map(len, inner))), *inner)
        body.append(text_field(b"\x1a", resource_schema))
        out += (b"\x0a", varint(sum(map(len, body))), *body)
    return b"".join(out)
