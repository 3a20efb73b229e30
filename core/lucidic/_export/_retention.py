"""Which segments go, and when: after every sink has them and the grace time, or when the folder is too full or they
are too old; then what no sink had is dropped, the oldest first, and counted.
"""

from __future__ import annotations

import contextlib
import json
import time
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Final

from lucidic._export._book import Book
from lucidic._export._census import SegmentCount
from lucidic._export._failpoints import failpoint
from lucidic._export._options import ExportOptions
from lucidic._export._segment import created_ns, segments


FOLDER: Final = "dropped"
DAMAGED: Final = "damaged"


@dataclass(frozen=True, slots=True)
class Tombstone:
    """Stands for a segment that was dropped before every sink had it, or that was damaged."""

    segment: str
    reason: str
    spans: int
    damaged: int
    sinks: tuple[str, ...]
    time_ns: int


def read_tombstones(spool: Path) -> list[Tombstone]:
    """Read what was dropped; a damaged file is passed over."""
    found: list[Tombstone] = []
    try:
        paths = sorted((spool / FOLDER).glob("*.json"))
    except OSError:
        return found
    for path in paths:
        with contextlib.suppress(OSError, ValueError, TypeError):
            content: dict[str, Any] = json.loads(path.read_bytes())
            found.append(Tombstone(**{**content, "sinks": tuple(content["sinks"])}))
    return found


def known_segments(spool: Path) -> set[str]:
    """Return the segments that exist or have a tombstone: their counts are not to be folded yet."""
    return {*segments(spool), *(stone.segment for stone in read_tombstones(spool))}


def fold_gone(book: Book, spool: Path) -> None:
    """Fold the positions of segments that are gone; usually there is none, and one look at the folder tells.

    Raises:
        OSError: The folder cannot be read.
    """
    if book.positions.keys() - segments(spool):
        book.fold(known_segments(spool))


def sweep(
    spool: Path,
    counts: Mapping[str, SegmentCount],
    books: Mapping[str, Book],
    options: ExportOptions,
    now_ns: int | None = None,
) -> None:
    """Delete what may go. Only the folder's leader does this.

    Args:
        spool: The folder of the segments.
        counts: What the segments hold.
        books: The books of all sinks that have one.
        options: The caps and times.
        now_ns: The time; by default now.

    Raises:
        OSError: A file cannot be deleted.
    """
    now = time.time_ns() if now_ns is None else now_ns
    sealed = {name: count for name, count in sorted(counts.items()) if count.sealed}
    size = sum(count.size for count in counts.values())
    acked = {
        name: done for name, count in sealed.items() if (done := _done_ns(name, count, books)) is not None
    }
    for name in [name for name, done in acked.items() if now - done > options.grace * 1e9]:
        count = sealed.pop(name)
        size -= count.size
        if count.damaged:
            _bury(spool, name, count, DAMAGED, now)
        _unlink(spool, name)
    # Too full: first what every sink has, then the oldest.
    for name in [
        *(name for name in sealed if name in acked),
        *(name for name in sealed if name not in acked),
    ]:
        too_old = name not in acked and now - created_ns(name) > options.spool_age * 1e9
        if size > options.spool_bytes or too_old:
            if name not in acked:
                _bury(
                    spool, name, sealed[name], "spool_full" if size > options.spool_bytes else "too_old", now
                )
            size -= sealed[name].size
            _unlink(spool, name)
    for stone in read_tombstones(spool):
        if now - stone.time_ns > options.spool_age * 1e9:
            (spool / FOLDER / f"{stone.segment}.json").unlink(missing_ok=True)


def _done_ns(name: str, count: SegmentCount, books: Mapping[str, Book]) -> int | None:
    """Return when the last of the segment's sinks was through with it, or None."""
    latest = 0
    for sink in count.sinks if count.sinks is not None else ("store",):
        position = books[sink].positions.get(name) if sink in books else None
        if position is None or position.done_ns is None:
            return None
        latest = max(latest, position.done_ns)
    return latest


def _bury(spool: Path, name: str, count: SegmentCount, reason: str, now: int) -> None:
    sinks = count.sinks if count.sinks is not None else ("store",)
    stone = Tombstone(name, reason, count.spans, count.damaged, sinks, now)
    folder = spool / FOLDER
    folder.mkdir(mode=0o700, exist_ok=True)
    unfinished = folder / f"{name}.new"
    unfinished.write_bytes(json.dumps(asdict(stone)).encode())
    unfinished.replace(folder / f"{name}.json")


def _unlink(spool: Path, name: str) -> None:
    failpoint("unlink")
    (spool / name).unlink(missing_ok=True)
