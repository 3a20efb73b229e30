"""Gathering the next batch for a sink from the segments, oldest first."""

from __future__ import annotations

import contextlib
import struct
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

from lucidic._export._book import Book
from lucidic._export._options import ExportOptions
from lucidic._export._payload import Origin, SpanEntry, unpack_origin, unpack_session, unpack_span
from lucidic._export._reader import Record, SegmentReader
from lucidic._export._segment import ORIGIN, SESSION, SPAN, START, is_open, read_header, segments
from lucidic._export._sink import Batch, Outcome
from lucidic._records import SessionRecord


@dataclass(slots=True)
class Gathered:
    """A batch, and where in the journal each of its items ends."""

    items: list[SpanEntry | SessionRecord] = field(default_factory=list)
    ends: list[tuple[str, int]] = field(default_factory=list)
    size: int = 0
    passed: dict[str, int] = field(default_factory=dict)
    """How far each segment was read: behind records that are no items, too."""
    finished: set[str] = field(default_factory=set)
    """Segments that hold nothing more, now or later."""
    full: bool = False
    """Whether there is more than fits into one batch."""
    unreadable: list[tuple[str, int]] = field(default_factory=list)
    """Where spans end that nobody can unpack."""


class Gatherer:
    """Read for one sink what it has not taken yet."""

    def __init__(self, spool: Path, sink: str, options: ExportOptions) -> None:
        self._spool = spool
        self._sink = sink
        self._options = options
        self._mine: dict[str, bool] = {}
        self._origins: dict[bytes, Origin] = {}
        self._origins_of: set[str] = set()

    def gather(self, book: Book) -> Gathered:
        """Gather the next batch after the book's positions; an empty one if there is nothing."""
        found = Gathered()
        names = segments(self._spool)
        self._mine = {name: self._mine[name] for name in names if name in self._mine}
        for name in names:
            position = book.positions.get(name)
            if position is not None and position.done_ns is not None:
                continue
            with contextlib.suppress(OSError):
                if self.is_mine(name) and self._read(name, position.offset if position else 0, found):
                    break
        return found

    def batch(self, found: Gathered) -> Batch:
        """Make the batch that a sink is given."""
        return Batch(tuple(found.items), self._origins)

    def is_mine(self, name: str) -> bool:
        """Tell whether a segment's records are for this sink; may be asked from any thread."""
        if name not in self._mine:
            # A damaged header does not say whom the spans are for: then they stay here, in the local store.
            self._mine[name] = self._sink in (read_header(self._spool / name) or {}).get("sinks", ())
        return self._mine[name]

    def _read(self, name: str, offset: int, found: Gathered) -> bool:
        """Read from one segment; return whether the batch is full."""
        path = self._spool / name
        sealed = not is_open(path)
        if offset and name not in self._origins_of:
            self._learn_origins(path, offset)
        self._origins_of.add(name)
        reader = SegmentReader(path, offset)
        items, ends, most = found.items, found.ends, self._options.batch_spans
        for record in reader.read(sealed=sealed):
            kind, _sequence, payload, end = record
            if kind == START or not self._sort(name, record, found):
                continue
            ends.append((name, end))
            found.size += len(payload)
            if len(items) >= most or found.size >= self._options.batch_bytes:
                found.passed[name] = end
                found.full = True
                return True
        found.passed[name] = reader.offset
        if sealed:
            found.finished.add(name)
        return False

    def _sort(self, name: str, record: Record, found: Gathered) -> bool:
        """Sort a record in; return whether it is an item of the batch."""
        try:
            if record.kind == SPAN:
                found.items.append(unpack_span(record.payload))
                return True
            if record.kind == SESSION:
                found.items.append(unpack_session(record.payload))
                return True
            if record.kind == ORIGIN:
                origin = unpack_origin(record.payload)
                self._origins[origin.key] = origin
        except (ValueError, TypeError, struct.error):
            if record.kind == SPAN:
                found.unreadable.append((name, record.end))
        return False

    def _learn_origins(self, path: Path, offset: int) -> None:
        for record in SegmentReader(path).read(sealed=False):
            if record.end > offset:
                return
            if record.kind == ORIGIN:
                with contextlib.suppress(ValueError, struct.error):
                    origin = unpack_origin(record.payload)
                    self._origins[origin.key] = origin


def advance(book: Book, found: Gathered, taken: int, now_ns: Callable[[], int] = time.time_ns) -> None:
    """Move a sink's positions behind the first ``taken`` items, or behind all that was read if those are all."""
    for name, end in found.ends[:taken]:
        book.at(name).offset = end
    everything = taken == len(found.items)
    if everything:
        for name, end in found.passed.items():
            book.at(name).offset = max(book.at(name).offset, end)
    for name, end in found.unreadable:
        if end <= book.at(name).offset:
            book.at(name).drop("unreadable")
    if everything:
        for name in found.finished:
            book.at(name).done_ns = now_ns()


def account(book: Book, found: Gathered, outcome: Outcome) -> None:
    """Enter into a sink's book what it said of a batch."""
    taken = found.items[: outcome.taken]
    if not outcome.rejected and not outcome.dropped:
        for item, (name, _end) in zip(taken, found.ends, strict=False):
            if isinstance(item, SpanEntry):
                book.at(name).delivered += 1
        advance(book, found, outcome.taken)
        return
    refused = {id(entry) for entry, _reason in outcome.refused}
    dropped = {id(entry): reason for entry, reason in outcome.dropped}
    # Of a partial success the number is known, and not which spans they are.
    unnamed = outcome.rejected - len(refused)
    for item, (name, _end) in zip(taken, found.ends, strict=False):
        if not isinstance(item, SpanEntry):
            continue
        position = book.at(name)
        if id(item) in refused:
            position.rejected += 1
        elif id(item) in dropped:
            position.drop(dropped[id(item)])
        elif unnamed > 0:
            unnamed -= 1
            position.rejected += 1
        else:
            position.delivered += 1
    advance(book, found, outcome.taken)
