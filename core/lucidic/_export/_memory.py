"""What could not be written: records that wait in memory for the disk, and meanwhile go to the sinks from here."""

from __future__ import annotations

import contextlib
import struct
import threading
from collections import deque
from collections.abc import Callable, Collection, Sequence
from typing import Final

from lucidic._export._counter import Counter
from lucidic._export._gather import Gathered
from lucidic._export._payload import Origin, unpack_origin, unpack_session, unpack_span
from lucidic._export._segment import ENDED, SESSION, SPAN
from lucidic._export._sink import Batch


_OVERHEAD: Final = 256
"""Bytes that a record takes besides its payload, roughly."""
_PATIENCE: Final = 1.0
_NAME: Final = "memory"
_IDS: Final = struct.Struct("<16s8s")


class Kept:
    """A record in memory, and which sinks have had it."""

    __slots__ = ("_undecided", "busy", "definition", "key", "kind", "payload", "taken")

    def __init__(self, kind: int, payload: bytes, key: bytes, definition: bytes) -> None:
        self.kind, self.payload = kind, payload
        self.key, self.definition = key, definition
        self.taken: set[str] = set()
        self.busy: set[str] = set()
        self._undecided = [True]

    @property
    def size(self) -> int:
        """The bytes that it is counted with."""
        return len(self.payload) + _OVERHEAD

    @property
    def waiting(self) -> bool:
        """Whether it is a span of which nobody has said yet what becomes of it."""
        return self.kind == SPAN and bool(self._undecided)

    def decide(self) -> bool:
        """Settle what becomes of it: True for the first one who asks, in whichever thread."""
        try:
            return self._undecided.pop()
        except IndexError:
            return False


class Memory:
    """Keep up to so many bytes of records, the oldest going first. ``keep`` takes no lock.

    Attributes:
        lost: Spans that there was no room for.
        passed: Spans that every sink has had from here; they need no disk any more.
        lock: Held by who brings records to the disk or hands them to a sink; never while a sink delivers.
    """

    def __init__(self, limit: int, sinks: Callable[[], Sequence[str]]) -> None:
        self._limit = limit
        self._sinks = sinks
        self.forked()

    def forked(self) -> None:
        """Forget everything: in a forked child it is the parent's."""
        self._records: deque[Kept] = deque()
        self.bytes = 0
        self.lost, self.passed = Counter(), Counter()
        self.lock = threading.Lock()

    def __len__(self) -> int:
        return len(self._records)

    @property
    def spans(self) -> int:
        """Spans that are only here."""
        return sum(record.waiting for record in tuple(self._records))

    def waiting(self, sink: str) -> int:
        """Count the spans that a sink has not had."""
        return sum(record.waiting and sink not in record.taken for record in tuple(self._records))

    def owes(self, sink: str) -> bool:
        """Whether there is anything that a sink has not had."""
        return any(
            record.kind in (SPAN, SESSION) and sink not in record.taken for record in tuple(self._records)
        )

    def keep(self, record: Kept) -> None:
        """Keep a record; what there is no room for goes, the oldest first, and is counted."""
        self._records.append(record)
        self.bytes += record.size
        while self.bytes > self._limit:
            try:
                oldest = self._records.popleft()
            except IndexError:
                self.bytes = 0
                return
            self.bytes -= oldest.size
            if oldest.kind == SPAN and oldest.decide():
                self.lost.add()

    def pop(self) -> Kept | None:
        """Take the oldest record, for the disk; None if there is none, or if a sink is just being given it."""
        with contextlib.suppress(IndexError):
            record = self._records.popleft()
            if not record.busy:
                return record
            self._records.appendleft(record)
        return None

    def put_back(self, record: Kept) -> None:
        """Put a record back to where it was."""
        self._records.appendleft(record)

    def weigh(self) -> None:
        """Count the bytes anew; additions of several threads at once may have been missed."""
        self.bytes = sum(record.size for record in tuple(self._records))

    def claim(self, sink: str, spans: int, size: int) -> Claim | None:
        """Hand a sink the next records that it has not had, up to so many spans and bytes; None if there are none."""
        if not self._records or not self.lock.acquire(timeout=_PATIENCE):
            return None
        try:
            claimed = Claim(self, sink)
            for record in tuple(self._records):
                if claimed.found.full:
                    break
                if record.kind in (SPAN, SESSION) and sink not in record.taken:
                    claimed.add(record)
                    claimed.found.full = len(claimed.records) >= spans or claimed.found.size >= size
        finally:
            self.lock.release()
        return claimed if claimed.records else None

    def settle(self, records: Sequence[Kept], taken: int, sink: str) -> None:
        """Note that a sink has had the first ``taken`` of the records that it was handed."""
        everybody = set(self._sinks())
        with self.lock:
            for index, record in enumerate(records):
                if index < taken:
                    record.taken.add(sink)
                    if everybody <= record.taken:
                        self._pass(record)
                record.busy.discard(sink)

    def _pass(self, record: Kept) -> None:
        """Let a record go that every sink has had; of a span its end is kept, because the disk may have its start."""
        if not record.decide():
            return
        before = record.size
        if record.kind == SPAN:
            self.passed.add()
            entry = unpack_span(record.payload)
            record.payload = _IDS.pack(entry.trace_id, entry.span_id)
        else:
            record.payload = b""
        record.kind, record.key, record.definition = ENDED, b"", b""
        self.bytes -= before - record.size


class Claim:
    """Records that a sink is being given from memory."""

    def __init__(self, memory: Memory, sink: str) -> None:
        self._memory = memory
        self._sink = sink
        self.records: list[Kept] = []
        self.found = Gathered()
        self._origins: dict[bytes, Origin] = {}

    def add(self, record: Kept) -> None:
        """Add a record; one that cannot be read is no item."""
        try:
            item = unpack_span(record.payload) if record.kind == SPAN else unpack_session(record.payload)
            if record.definition and record.key not in self._origins:
                self._origins[record.key] = unpack_origin(record.definition)
        except (ValueError, TypeError, struct.error):
            return
        record.busy.add(self._sink)
        self.records.append(record)
        self.found.items.append(item)
        self.found.ends.append((_NAME, 0))
        self.found.size += len(record.payload)

    def batch(self) -> Batch:
        """Make the batch that the sink is given."""
        return Batch(tuple(self.found.items), self._origins)

    def settle(self, taken: int) -> None:
        """Say how many of the records, from the first on, the sink has had."""
        self._memory.settle(self.records, taken, self._sink)


def still_for(record: Kept, sinks: Collection[str]) -> tuple[str, ...]:
    """Return the sinks that have not had a record."""
    return tuple(name for name in sinks if name not in record.taken)
