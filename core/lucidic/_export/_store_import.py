"""Importing segments into the store: the spans and the cursor in one transaction, so each span exactly once."""

from __future__ import annotations

import json
import struct
import time
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

import sqlalchemy as sa

from lucidic._export._failpoints import failpoint
from lucidic._export._ledger import STORE
from lucidic._export._payload import SpanEntry, unpack_origin, unpack_session, unpack_span
from lucidic._export._reader import Record, SegmentReader
from lucidic._export._segment import (
    FORMAT_VERSION,
    HEADER,
    ORIGIN,
    SESSION,
    SPAN,
    is_open,
    owner_of,
    read_header,
)
from lucidic._export._store_schema import cursors, origins, spans, upsert, write_rows
from lucidic._export._store_sessions import apply_session, note_spans


_BATCH_RECORDS: Final = 1024
_BATCH_BYTES: Final = 8 << 20
_ORIGIN_COLUMNS: Final = tuple(column.name for column in origins.columns)


@dataclass(slots=True)
class _Batch:
    """What one transaction takes from a segment."""

    origins: list[dict[str, Any]] = field(default_factory=list)
    spans: list[SpanEntry] = field(default_factory=list)
    sessions: list[Any] = field(default_factory=list)
    records: int = 0
    bytes: int = 0
    top: int = -1
    bad: int = 0
    header: dict[str, Any] | None = None

    @property
    def full(self) -> bool:
        return self.records >= _BATCH_RECORDS or self.bytes >= _BATCH_BYTES

    def add(self, record: Record) -> None:
        """Sort one record in; one that cannot be unpacked is counted as bad."""
        self.records += 1
        self.bytes += len(record.payload)
        self.top = max(self.top, record.sequence)
        try:
            if record.kind == SPAN:
                self.spans.append(unpack_span(record.payload))
            elif record.kind == SESSION:
                self.sessions.append(unpack_session(record.payload))
            elif record.kind == ORIGIN:
                found = unpack_origin(record.payload)
                self.origins.append({name: getattr(found, name) for name in _ORIGIN_COLUMNS})
            elif record.kind == HEADER:
                self.header = json.loads(record.payload)
        except (ValueError, TypeError, struct.error):
            self.bad += record.kind == SPAN


class Foreign(Exception):  # noqa: N818 - no error, an answer
    """Raised for a segment that is not for the store: its process has no store, or its format is newer."""


def import_segment(connection: sa.Connection, path: Path) -> bool:
    """Import the next part of a segment, within a write transaction; return whether there may be more.

    Raises:
        Foreign: The segment is not for the store.
        OSError: The segment cannot be read.
    """
    row = connection.execute(sa.select(cursors).where(cursors.c.segment == path.name)).mappings().first()
    cursor = dict(row) if row else _new_cursor(path.name)
    sealed = not is_open(path)
    reader = SegmentReader(path, cursor["offset"])
    batch = _Batch()
    for record in reader.read(sealed=sealed):
        batch.add(record)
        if batch.full:
            break
    header = batch.header or read_header(path) or {}
    if header.get("version", 0) > FORMAT_VERSION or STORE not in header.get("sinks", (STORE,)):
        raise Foreign
    _write(connection, batch, path.name, str(header.get("label", "")))
    moved = reader.offset != cursor["offset"]
    cursor["offset"] = reader.offset
    cursor["records"] += batch.records
    cursor["top_sequence"] = max(cursor["top_sequence"], batch.top)
    cursor["delivered"] += len(batch.spans)
    cursor["unreadable"] += batch.bad
    if sealed and not batch.full and cursor["done_ns"] is None:
        cursor["done_ns"] = time.time_ns()
        moved = True
    if moved:
        connection.execute(upsert(cursors, connection), [cursor])
    return batch.full


def _new_cursor(name: str) -> dict[str, Any]:
    start = {"segment": name, "owner": owner_of(name), "offset": 0, "records": 0, "top_sequence": -1}
    return {**start, "delivered": 0, "unreadable": 0, "done_ns": None}


def _write(connection: sa.Connection, batch: _Batch, segment: str, label: str) -> None:
    if batch.origins:
        connection.execute(upsert(origins, connection, update=False), batch.origins)
    if batch.spans:
        write_rows(connection, spans, _rows(batch.spans))
    for record in batch.sessions:
        apply_session(connection, record, owner=label, owner_key=owner_of(segment))
    note_spans(connection, batch.spans, owner=label)
    failpoint("import-before-commit")


def _rows(entries: Iterable[SpanEntry]) -> list[tuple[Any, ...]]:
    return [
        (
            entry.data[2:18],
            entry.data[20:28],
            entry.session_id,
            entry.start_ns,
            entry.end_ns,
            entry.status,
            entry.prompt_tokens,
            entry.completion_tokens,
            entry.total_tokens,
            entry.origin,
            entry.data,
        )
        for entry in entries
    ]
