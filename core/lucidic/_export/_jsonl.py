"""The JSON-lines sink: OTLP/JSON, one ``TracesData`` a line, as the Collector's file exporter writes it.

https://opentelemetry.io/docs/specs/otel/protocol/file-exporter/ ; ids are hex, enums are numbers, 64-bit integers
are text, bytes are base64.
"""

from __future__ import annotations

import base64
import contextlib
import hashlib
import json
import math
import os
import re
from collections.abc import Collection, Iterable
from pathlib import Path
from typing import Any, Final

from lucidic._export._conventions import Dialect
from lucidic._export._decode import fields, signed, unpack_double, unpack_fixed64
from lucidic._export._payload import SpanEntry
from lucidic._export._sink import Batch, Outcome


class JSONLinesSink:
    """Append spans to one file, or to one file for each session.

    A batch is one write of whole lines; a line that a killed process left unfinished is cut off before the next
    one is written, so that every line of the file is JSON.

    Args:
        path: The file; with ``per_session`` the folder of the files ``<session id>.jsonl``. Spans without a
            session go to ``unattributed.jsonl``; characters of a session id that a file name cannot have become
            ``_``, and a digest keeps such names apart.
        per_session: Whether each session has a file of its own.
    """

    def __init__(self, path: Path, *, per_session: bool = False, conventions: Collection[str] = ()) -> None:
        self.path = Path(path).absolute()
        self.per_session = per_session
        self._dialect = Dialect(conventions) if conventions else None
        self.name = f"jsonl-{hashlib.blake2s(os.fsencode(self.path), digest_size=6).hexdigest()}"

    def deliver(self, batch: Batch, timeout: float) -> Outcome:
        """Append a batch; see Sink.

        Raises:
            OSError: A file cannot be written. Files written before have their lines already.
        """
        del timeout
        if self._dialect is not None:
            batch = batch.translated(self._dialect)
        for path, entries in self._grouped(batch.spans).items():
            _append(path, json_line(batch, entries))
        return Outcome(taken=len(batch.items), delivered=len(batch.spans))

    def renew(self, other: JSONLinesSink) -> None:
        """Go on with other conventions; may be called from another thread."""
        self._dialect = other._dialect

    def close(self) -> None:
        """See Sink: no file stays open."""

    def _grouped(self, entries: Iterable[SpanEntry]) -> dict[Path, list[SpanEntry]]:
        grouped: dict[Path, list[SpanEntry]] = {}
        for entry in entries:
            path = self.path / file_name(entry.session_id) if self.per_session else self.path
            grouped.setdefault(path, []).append(entry)
        return grouped


def file_name(session_id: str | None) -> str:
    """Make a session's file name."""
    if session_id is None:
        return "unattributed.jsonl"
    safe = re.sub(r"[^A-Za-z0-9._-]", "_", session_id)[:100]
    if safe and safe == session_id and not safe.startswith(".") and safe != "unattributed":
        return f"{safe}.jsonl"
    return f"{safe.lstrip('.') or 'session'}-{hashlib.blake2s(session_id.encode(), digest_size=4).hexdigest()}.jsonl"


def _append(path: Path, line: bytes) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    fd = os.open(path, os.O_RDWR | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        size = _whole_lines(fd)
        written = os.write(fd, line)
        if written != len(line):
            with contextlib.suppress(OSError):
                os.ftruncate(fd, size)
            raise OSError(f"Only {written} of {len(line)} bytes could be written to {path}.")
    finally:
        os.close(fd)


def _whole_lines(fd: int) -> int:
    """Cut an unfinished last line off and return the size."""
    size = end = os.fstat(fd).st_size
    while end > 0:
        begin = max(0, end - 65536)
        found = os.pread(fd, end - begin, begin).rfind(b"\n")
        if found >= 0:
            end = begin + found + 1
            break
        end = begin
    if end != size:
        os.ftruncate(fd, end)
    return end


def json_line(batch: Batch, entries: Iterable[SpanEntry]) -> bytes:
    """Encode spans as one line."""
    return json.dumps(traces_data(batch, entries), ensure_ascii=False, separators=(",", ":")).encode() + b"\n"


def traces_data(batch: Batch, entries: Iterable[SpanEntry]) -> dict[str, Any]:
    """Build OTLP/JSON of spans, grouped by resource and scope."""
    grouped: dict[tuple[bytes, str], dict[tuple[bytes, str], list[dict[str, Any]]]] = {}
    for entry in entries:
        origin = batch.origin(entry)
        scopes = grouped.setdefault((origin.resource, origin.resource_schema), {})
        scopes.setdefault((origin.scope, origin.scope_schema), []).append(_message(entry.data, _SPAN))
    return {
        "resourceSpans": [
            {
                "resource": {"attributes": [], **_message(resource, _RESOURCE)},
                "scopeSpans": [
                    {"scope": _message(scope, _SCOPE), "spans": spans, **({"schemaUrl": url} if url else {})}
                    for (scope, url), spans in scopes.items()
                ],
                **({"schemaUrl": schema} if schema else {}),
            }
            for (resource, schema), scopes in grouped.items()
        ]
    }


_Shape = dict[int, tuple[str, Any]]
_TEXT: Final = "text"
_HEX: Final = "hex"
_NUMBER: Final = "number"
_FIXED64: Final = "fixed64"
_FIXED32: Final = "fixed32"
_VALUE: Final = "value"
_PAIR: Final[_Shape] = {1: ("key", _TEXT), 2: ("value", _VALUE)}
_RESOURCE: Final[_Shape] = {1: ("attributes", [_PAIR]), 2: ("droppedAttributesCount", _NUMBER)}
_SCOPE: Final[_Shape] = {1: ("name", _TEXT), 2: ("version", _TEXT), 3: ("attributes", [_PAIR])}
_EVENT: Final[_Shape] = {
    1: ("timeUnixNano", _FIXED64),
    2: ("name", _TEXT),
    3: ("attributes", [_PAIR]),
    4: ("droppedAttributesCount", _NUMBER),
}
_LINK: Final[_Shape] = {
    1: ("traceId", _HEX),
    2: ("spanId", _HEX),
    3: ("traceState", _TEXT),
    4: ("attributes", [_PAIR]),
    5: ("droppedAttributesCount", _NUMBER),
    6: ("flags", _FIXED32),
}
_STATUS: Final[_Shape] = {2: ("message", _TEXT), 3: ("code", _NUMBER)}
_SPAN: Final[_Shape] = {
    1: ("traceId", _HEX),
    2: ("spanId", _HEX),
    3: ("traceState", _TEXT),
    4: ("parentSpanId", _HEX),
    5: ("name", _TEXT),
    6: ("kind", _NUMBER),
    7: ("startTimeUnixNano", _FIXED64),
    8: ("endTimeUnixNano", _FIXED64),
    9: ("attributes", [_PAIR]),
    10: ("droppedAttributesCount", _NUMBER),
    11: ("events", [_EVENT]),
    12: ("droppedEventsCount", _NUMBER),
    13: ("links", [_LINK]),
    14: ("droppedLinksCount", _NUMBER),
    15: ("status", _STATUS),
    16: ("flags", _FIXED32),
}


def _message(data: bytes, shape: _Shape) -> dict[str, Any]:
    result: dict[str, Any] = {}
    for number, value in fields(data):
        if number not in shape:
            continue
        name, kind = shape[number]
        if isinstance(kind, list):
            result.setdefault(name, []).append(_message(value, kind[0]))
        else:
            result[name] = _single(value, kind)
    return result


def _single(value: Any, kind: Any) -> Any:
    if isinstance(kind, dict):
        return _message(value, kind)
    if kind is _TEXT:
        return value.decode("utf-8", "replace")
    if kind is _HEX:
        return value.hex()
    if kind is _FIXED64:
        return str(unpack_fixed64(value)[0])
    if kind is _FIXED32:
        return int.from_bytes(value, "little")
    if kind is _VALUE:
        return _any_value(value)
    return value


def _any_value(data: bytes) -> dict[str, Any]:
    for number, value in fields(data):
        if number == 1:
            return {"stringValue": value.decode("utf-8", "replace")}
        if number == 2:
            return {"boolValue": bool(value)}
        if number == 3:
            return {"intValue": str(signed(value))}
        if number == 4:
            return {"doubleValue": _double(unpack_double(value)[0])}
        if number == 5:
            return {"arrayValue": {"values": [_any_value(item) for tag, item in fields(value) if tag == 1]}}
        if number == 6:
            return {
                "kvlistValue": {"values": [_message(item, _PAIR) for tag, item in fields(value) if tag == 1]}
            }
        if number == 7:
            return {"bytesValue": base64.b64encode(value).decode()}
    return {}


def _double(number: float) -> float | str:
    if math.isfinite(number):
        return number
    return "NaN" if math.isnan(number) else "Infinity" if number > 0 else "-Infinity"
