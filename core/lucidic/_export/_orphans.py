"""Closing what a dead process left running: its spans that started and never ended."""

from __future__ import annotations

import contextlib
import struct
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from lucidic._export._encode import encode_closing
from lucidic._export._failpoints import failpoint
from lucidic._export._leader import Leadership
from lucidic._export._payload import INCOMPLETE_KEY, SpanEntry, pack_entry, unpack_span
from lucidic._export._reader import SegmentReader
from lucidic._export._segment import (
    ENDED,
    HEADER,
    ORIGIN,
    SPAN,
    START,
    Segment,
    is_open,
    owner_alive,
    owner_of,
    segments,
)


TERMINATED: Final = "process terminated"
LOCK_NAME: Final = "leader.lock"
_MARKERS: Final = "closed"


@dataclass(slots=True)
class _Left:
    """What a dead process left in its segments."""

    header: bytes = b"{}"
    origins: dict[bytes, bytes] = field(default_factory=dict)
    started: dict[bytes, SpanEntry] = field(default_factory=dict)
    ended: set[bytes] = field(default_factory=set)
    last_ns: int = 0


def close_orphans(spool: Path, leader: Leadership | None = None) -> int:
    """End the open spans of dead processes as ERROR, with ``lucidic.incomplete``; return how many.

    Works only as the folder's leader, so that two processes never do it twice; without the lock it does nothing.

    Raises:
        OSError: The folder cannot be written.
    """
    if not _dead_owners(spool, segments(spool)):
        return 0
    own = leader or Leadership(spool / LOCK_NAME)
    if not own.held and not own.acquire():
        return 0
    try:
        # Looked at again: another process may have closed them before it let the lock go.
        names = segments(spool)
        return sum(_close_owner(spool, owner, names) for owner in sorted(_dead_owners(spool, names)))
    finally:
        if leader is None:
            own.release()


def _dead_owners(spool: Path, names: Iterable[str]) -> set[str]:
    by_owner: dict[str, list[str]] = {}
    for name in names:
        by_owner.setdefault(owner_of(name), []).append(name)
    markers = spool / _MARKERS
    known = {path.name for path in markers.iterdir()} if markers.is_dir() else set()
    for gone in known - by_owner.keys():
        (markers / gone).unlink(missing_ok=True)
    return {
        owner
        for owner, own in by_owner.items()
        if owner not in known and not owner_alive(owner) and not any(is_open(spool / name) for name in own)
    }


def _close_owner(spool: Path, owner: str, names: Iterable[str]) -> int:
    left = _Left()
    for name in names:
        if owner_of(name) == owner:
            with contextlib.suppress(FileNotFoundError):
                _collect(spool / name, left)
    open_spans = [entry for span_id, entry in left.started.items() if span_id not in left.ended]
    if open_spans:
        _write_closing(spool, left, open_spans)
    failpoint("close-orphan")
    marker = spool / _MARKERS / owner
    marker.parent.mkdir(mode=0o700, exist_ok=True)
    marker.touch()
    return len(open_spans)


def _collect(path: Path, left: _Left) -> None:
    for record in SegmentReader(path).read(sealed=True):
        if record.kind == HEADER:
            left.header = record.payload
        elif record.kind == ORIGIN:
            left.origins[record.payload[:8]] = record.payload
        elif record.kind == ENDED:
            left.ended.add(record.payload)
        elif record.kind in (START, SPAN):
            with contextlib.suppress(ValueError, struct.error):
                entry = unpack_span(record.payload)
                left.last_ns = max(left.last_ns, entry.start_ns, entry.end_ns)
                if record.kind == START:
                    left.started[entry.trace_id + entry.span_id] = entry
                else:
                    left.ended.add(entry.trace_id + entry.span_id)


def _write_closing(spool: Path, left: _Left, entries: Iterable[SpanEntry]) -> None:
    # A segment of its own, with the dead process's header: what goes to which sink is that process's choice.
    segment = Segment(spool, left.header)
    for entry in entries:
        end_ns = max(left.last_ns, entry.start_ns)
        closing = encode_closing(end_ns, TERMINATED, {INCOMPLETE_KEY: True})
        closed = entry._replace(status=2, end_ns=end_ns, data=entry.data + closing)
        first = b"" if entry.origin in segment.origins else left.origins.get(entry.origin, b"")
        segment.append(SPAN, pack_entry(closed), first=first)
        segment.origins.add(entry.origin)
    segment.sync()
