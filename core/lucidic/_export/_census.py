"""Counting what the journal holds, apart from what any sink says it has taken."""

from __future__ import annotations

import contextlib
import json
from array import array
from bisect import bisect_right
from dataclasses import dataclass, field
from pathlib import Path
from threading import Lock
from typing import Any

from lucidic._export._reader import SegmentReader
from lucidic._export._segment import HEADER, SPAN, is_open, segments


@dataclass(slots=True)
class SegmentCount:
    """What one segment holds, as far as it has been read."""

    reader: SegmentReader
    ends: array[int] = field(default_factory=lambda: array("Q"))
    """Where each span's record ends."""
    records: int = 0
    top: int = -1
    sinks: tuple[str, ...] | None = None
    """The sinks its process had; None if the header is damaged."""
    sealed: bool = False
    size: int = 0

    @property
    def damaged(self) -> int:
        """Records that were written and cannot be read, by the gaps in the sequence."""
        return self.top + 1 - self.records if self.sealed else 0

    @property
    def spans(self) -> int:
        """Spans that can be read."""
        return len(self.ends)

    def behind(self, offset: int) -> int:
        """Count the spans behind a cursor."""
        return len(self.ends) - bisect_right(self.ends, offset)


class Census:
    """Count the spans in a folder's segments; each look reads only what is new."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._counts: dict[str, SegmentCount] = {}
        self._lock = Lock()

    def take(self) -> dict[str, SegmentCount]:
        """Return the counts by segment; segments that are gone are left out."""
        with self._lock:
            names: list[str] = []
            with contextlib.suppress(OSError):
                names = segments(self._folder)
            self._counts = {name: self._counts[name] for name in names if name in self._counts}
            for name in names:
                with contextlib.suppress(OSError):
                    self._count(name)
            return dict(self._counts)

    def _count(self, name: str) -> None:
        path = self._folder / name
        count = self._counts.get(name) or SegmentCount(SegmentReader(path))
        if count.sealed:
            return
        sealed = not is_open(path)
        for record in count.reader.read(sealed=sealed):
            count.records += 1
            count.top = max(count.top, record.sequence)
            if record.kind == SPAN:
                count.ends.append(record.end)
            elif record.kind == HEADER:
                count.sinks = _sinks(record.payload)
        count.sealed = sealed
        count.size = path.stat().st_size
        self._counts[name] = count


def _sinks(payload: bytes) -> tuple[str, ...] | None:
    try:
        content: dict[str, Any] = json.loads(payload)
        return tuple(str(name) for name in content["sinks"])
    except (ValueError, KeyError, TypeError):
        return None
