"""OTLP bytes as a record, read by hand: the other direction of ``_encode``.

The local store keeps a span's OTLP bytes, and reading them must not need the protobuf package.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator
from typing import Any, NamedTuple

from lucidic._records import JSONValue, SpanEvent, SpanLink, StoredSpan


_KINDS = ("UNSPECIFIED", "INTERNAL", "SERVER", "CLIENT", "PRODUCER", "CONSUMER")
_STATUS = ("UNSET", "OK", "ERROR")
unpack_fixed64 = struct.Struct("<Q").unpack_from
unpack_fixed32 = struct.Struct("<I").unpack_from
unpack_double = struct.Struct("<d").unpack_from


def _varint(data: bytes, at: int) -> tuple[int, int]:
    result = shift = 0
    while True:
        byte = data[at]
        at += 1
        result |= (byte & 0x7F) << shift
        if byte < 0x80:
            return result, at
        shift += 7
        if shift > 63:
            raise ValueError("A varint of a protobuf message is too long.")


def raw_fields(data: bytes) -> Iterator[tuple[int, bytes, Any]]:
    """Yield number, whole bytes and value of each field: an int for varints, bytes for everything else.

    Raises:
        ValueError: The bytes are no protobuf message.
        IndexError: The bytes end within a field.
    """
    at, end = 0, len(data)
    while at < end:
        begin = at
        tag, at = _varint(data, at)
        wire = tag & 7
        if tag < 8:
            raise ValueError("A protobuf message has no field of number 0.")
        value: int | bytes
        if wire == 0:
            value, at = _varint(data, at)
        else:
            if wire == 2:
                size, at = _varint(data, at)
            elif wire in (1, 5):
                size = 8 if wire == 1 else 4
            else:
                raise ValueError(f"Wire type {wire} is none of protobuf's.")
            if at + size > end:
                raise IndexError("A protobuf message ends within a field.")
            value = data[at : at + size]
            at += size
        yield tag >> 3, data[begin:at], value


def fields(data: bytes) -> Iterator[tuple[int, Any]]:
    """Yield number and value of each field; raises as ``raw_fields`` does."""
    for number, _raw, value in raw_fields(data):
        yield number, value


def signed(number: int) -> int:
    """Read an unsigned 64-bit integer as a signed one."""
    return number - (1 << 64) if number >> 63 else number


def decode_value(data: bytes) -> Any:
    """Decode one ``AnyValue``; bytes stay bytes."""
    for number, value in fields(data):
        if number == 1:
            return value.decode("utf-8", "replace")
        if number == 2:
            return bool(value)
        if number == 3:
            return signed(value)
        if number == 4:
            return unpack_double(value)[0]
        if number == 5:
            return [decode_value(item) for tag, item in fields(value) if tag == 1]
        if number == 6:
            return dict(decode_pair(item) for tag, item in fields(value) if tag == 1)
        if number == 7:
            return value
    return None


class SpanScan(NamedTuple):
    """What an OTLP ``Span`` holds, and where."""

    name: str
    has_parent: bool
    flags: int
    pairs: dict[bytes, tuple[int, int]]
    """Where each attribute's ``KeyValue`` is, by its key."""


def scan_span(data: bytes) -> SpanScan:
    """Look through an OTLP ``Span`` without decoding its attributes, which is most of the work.

    Raises:
        ValueError: The bytes are no span.
        IndexError: The bytes end within a field.
    """
    name, has_parent, flags = b"", False, 0
    pairs: dict[bytes, tuple[int, int]] = {}
    at, end = 0, len(data)
    while at < end:
        tag = data[at]
        at += 1
        if tag & 0x80:
            tag, at = _varint(data, at - 1)
        wire = tag & 7
        if wire == 2:
            size = data[at]
            at += 1
            if size & 0x80:
                size, at = _varint(data, at - 1)
            if tag == _ATTRIBUTE:
                length = data[at + 1]
                if data[at] == _KEY and length < 0x80:
                    pairs[data[at + 2 : at + 2 + length]] = at, at + size
                else:
                    pairs[decode_pair(data[at : at + size])[0].encode()] = at, at + size
            elif tag == _NAME:
                name = data[at : at + size]
            elif tag == _PARENT:
                has_parent = size > 0
            at += size
        elif wire == 0:
            _, at = _varint(data, at)
        elif wire == 1:
            at += 8
        elif wire == 5:
            if tag == _FLAGS:
                flags = unpack_fixed32(data, at)[0]
            at += 4
        else:
            raise ValueError(f"Wire type {wire} is none of protobuf's.")
    return SpanScan(name.decode("utf-8", "replace"), has_parent, flags, pairs)


_PARENT, _NAME, _ATTRIBUTE, _FLAGS, _KEY = 0x22, 0x2A, 0x4A, 0x85, 0x0A


def decode_pair(data: bytes) -> tuple[str, Any]:
    """Decode one ``KeyValue``."""
    key, result = "", None
    for number, value in fields(data):
        if number == 1:
            key = value.decode("utf-8", "replace")
        elif number == 2:
            result = decode_value(value)
    return key, result


def _plain(value: Any) -> JSONValue:
    """Make JSON of an attribute: bytes become lower-case hex."""
    if isinstance(value, bytes):
        return value.hex()
    if isinstance(value, list):
        return [_plain(item) for item in value]
    if isinstance(value, dict):
        return {key: _plain(item) for key, item in value.items()}
    plain: JSONValue = value
    return plain


def _attribute(data: bytes, into: dict[str, JSONValue]) -> None:
    key, value = decode_pair(data)
    into[key] = _plain(value)


def decode_resource(data: bytes) -> dict[str, JSONValue]:
    """Decode the attributes of an OTLP ``Resource``."""
    result: dict[str, JSONValue] = {}
    for number, value in fields(data):
        if number == 1:
            _attribute(value, result)
    return result


def decode_scope(data: bytes) -> tuple[str, str]:
    """Decode name and version of an OTLP ``InstrumentationScope``."""
    found = {number: value.decode("utf-8", "replace") for number, value in fields(data) if number in (1, 2)}
    return found.get(1, ""), found.get(2, "")


def _decode_event(data: bytes) -> SpanEvent:
    name, time_ns = "", 0
    attributes: dict[str, JSONValue] = {}
    for number, value in fields(data):
        if number == 1:
            time_ns = unpack_fixed64(value)[0]
        elif number == 2:
            name = value.decode("utf-8", "replace")
        elif number == 3:
            _attribute(value, attributes)
    return SpanEvent(name=name, time_ns=time_ns, attributes=attributes)


def _decode_link(data: bytes) -> SpanLink:
    trace_id = span_id = ""
    attributes: dict[str, JSONValue] = {}
    for number, value in fields(data):
        if number == 1:
            trace_id = value.hex()
        elif number == 2:
            span_id = value.hex()
        elif number == 4:
            _attribute(value, attributes)
    return SpanLink(trace_id=trace_id, span_id=span_id, attributes=attributes)


def decode_span(
    data: bytes, *, session_id: str | None, scope: bytes = b"", resource: dict[str, JSONValue] | None = None
) -> StoredSpan:
    """Decode an OTLP ``Span``.

    Raises:
        ValueError: The bytes are no span.
        IndexError: The bytes end within a field.
    """
    single: dict[int, Any] = {}
    attributes: dict[str, JSONValue] = {}
    events: list[SpanEvent] = []
    links: list[SpanLink] = []
    for number, value in fields(data):
        if number == 9:
            _attribute(value, attributes)
        elif number == 11:
            events.append(_decode_event(value))
        elif number == 13:
            links.append(_decode_link(value))
        else:
            single[number] = value
    status = dict(fields(single.get(15, b"")))
    scope_name, scope_version = decode_scope(scope)
    kind, code = single.get(6, 0), status.get(3, 0)
    return StoredSpan(
        trace_id=single[1].hex(),
        span_id=single[2].hex(),
        parent_span_id=single[4].hex() if single.get(4) else None,
        name=single.get(5, b"").decode("utf-8", "replace"),
        kind=_KINDS[kind] if kind < len(_KINDS) else str(kind),
        status=_STATUS[code] if code < len(_STATUS) else str(code),
        status_message=status.get(2, b"").decode("utf-8", "replace"),
        start_ns=unpack_fixed64(single[7])[0] if 7 in single else 0,
        end_ns=unpack_fixed64(single[8])[0] if 8 in single else 0,
        session_id=session_id,
        attributes=attributes,
        events=tuple(events),
        links=tuple(links),
        scope_name=scope_name,
        scope_version=scope_version,
        resource=resource or {},
    )
