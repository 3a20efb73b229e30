"""Writing the journal: one append a record, in the caller's thread, with no lock."""

from __future__ import annotations

import contextlib
import json
import logging
import os
from collections import deque
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Final

from opentelemetry.sdk.trace import ReadableSpan

from lucidic._export._counter import Counter
from lucidic._export._failpoints import failpoint
from lucidic._export._memory import Kept, Memory, still_for
from lucidic._export._options import ExportOptions
from lucidic._export._payload import pack_origin
from lucidic._export._reader import Record, SegmentReader
from lucidic._export._segment import (
    ENDED,
    FORMAT_VERSION,
    HEADER,
    ORIGIN,
    SESSION,
    SPAN,
    START,
    Segment,
    owner_key,
    owner_label,
    owner_of,
    segments,
)


logger = logging.getLogger("lucidic.export")

_ORIGINS_LIMIT: Final = 1024
_UNSYNCED_LIMIT: Final = 8


class Journal:
    """Append records for this process. Creating it touches no disk.

    While the folder cannot be written, records wait in memory, the oldest going first when ``memory_bytes`` are
    full; sinks take them from there, and ``retry`` brings to the disk what one of them has not had.

    Attributes:
        written: Spans that are on the disk.
        memory: What could not be written.
        failure: Why records are kept in memory, or None.
    """

    def __init__(self, folder: Path, options: ExportOptions, sinks: Callable[[], Sequence[str]]) -> None:
        self.folder = folder
        self.written = Counter()
        self.memory = Memory(options.memory_bytes, sinks)
        self.failure: str | None = None
        self._options = options
        self._sinks = sinks
        self._slots: dict[int, Segment] = {}
        self._generation = 0
        self._side: dict[tuple[str, ...], Segment] = {}
        # Finished segments that the disk is still to be asked for. They count as open as long as they are here, so
        # where no thread asks, only a few are held.
        self._unsynced: deque[Segment] = deque(maxlen=_UNSYNCED_LIMIT if options.fsync_window else 0)
        self._origins: dict[tuple[int, int], tuple[bytes, bytes, object]] = {}
        self._reported = False

    @property
    def segment(self) -> Segment | None:
        """The segment being written, if there is one."""
        return self._slots.get(self._generation)

    def origin(self, span: ReadableSpan) -> tuple[bytes, bytes]:
        """Return key and record of where the span comes from."""
        resource, scope = span.resource, span.instrumentation_scope
        found = self._origins.get((id(resource), id(scope)))
        if found is None:
            if len(self._origins) >= _ORIGINS_LIMIT:
                self._origins = {}
            # The objects are kept with their record, or another one could get the same id.
            found = self._origins[id(resource), id(scope)] = (*pack_origin(span), (resource, scope))
        return found[0], found[1]

    def append(self, kind: int, payload: bytes, origin: tuple[bytes, bytes] = (b"", b"")) -> None:
        """Write a record; it survives the end of this process when this returns. Never raises OSError."""
        key, definition = origin
        if self.failure is None:
            try:
                self._write(kind, payload, key, definition)
                return
            except OSError as error:
                self._fail(error)
        self.memory.keep(Kept(kind, payload, key, definition))

    def _write(self, kind: int, payload: bytes, key: bytes, definition: bytes) -> None:
        segment = self._slots.get(self._generation) or self._open(self._generation)
        if key in segment.origins:
            segment.append(kind, payload)
            if kind == SPAN:
                self.written.add()
        else:
            self._append(segment, kind, payload, key, definition)
        if self._options.fsync_always and kind != START:
            segment.sync(force=True)
        if segment.size >= self._options.segment_bytes:
            self.rotate(segment)

    def _append(self, segment: Segment, kind: int, payload: bytes, key: bytes, definition: bytes) -> None:
        if not key or key in segment.origins:
            segment.append(kind, payload)
        else:
            segment.append(kind, payload, first=definition)
            segment.origins.add(key)
        if kind == SPAN:
            self.written.add()

    def _open(self, generation: int) -> Segment:
        segment = Segment(self.folder, self._header(self._sinks()))
        # Several threads may come here at once: the first one's segment is everybody's.
        kept = self._slots.setdefault(generation, segment)
        if kept is not segment:
            segment.discard()
        return kept

    def _header(self, sinks: Sequence[str]) -> bytes:
        pid = os.getpid()
        content = {
            "version": FORMAT_VERSION,
            "owner": owner_key(pid),
            "label": owner_label(pid),
            "sinks": list(sinks),
        }
        return json.dumps(content).encode()

    def rotate(self, segment: Segment | None = None) -> None:
        """Start the next segment; with ``segment`` only if that one is still the current one.

        Raises:
            OSError: The next segment cannot be created.
        """
        generation = self._generation
        current = self._slots.get(generation)
        if current is None or (segment is not None and current is not segment):
            return
        # The new one is there before the old one is let go: an owner without a segment counts as dead.
        self._open(generation + 1)
        failpoint("rotate")
        self._generation = generation + 1
        self._unsynced.append(current)
        self._slots.pop(generation, None)

    def _fail(self, error: OSError) -> None:
        # No log line from here: ``on_end`` takes no lock, and logging does. ``report`` writes it.
        if self.failure is None:
            self.failure = str(error) or type(error).__name__

    def ends(self) -> dict[str, int]:
        """Return where the records of this process's segments end now."""
        own = owner_key(os.getpid())
        current = self.segment
        found = {}
        if self._slots or self.failure is not None:
            with contextlib.suppress(OSError):
                for name in segments(self.folder):
                    if owner_of(name) == own:
                        torn = current is not None and current.torn and current.name == name
                        found[name] = (
                            _whole(self.folder / name) if torn else (self.folder / name).stat().st_size
                        )
        return found

    def retry(self, wait: float = 0.0) -> bool:
        """Bring what is in memory back to the disk; return whether nothing is left in memory.

        For the journal's own thread and for flushes, not for ``on_end``.

        Args:
            wait: Seconds to wait for another thread that is doing the same.
        """
        if self.failure is None and not self.memory:
            return True
        if not self.memory.lock.acquire(timeout=max(0.0, wait)):
            return False
        try:
            return self._retry()
        finally:
            self._side = {}
            self.memory.lock.release()

    def _retry(self) -> bool:
        try:
            if self.failure is not None:
                # The old segment may be what is broken (a full or vanished folder): begin a new one.
                self._open(self._generation + 1)
                self._slots.pop(self._generation, None)
                self._generation += 1
            while (record := self.memory.pop()) is not None:
                try:
                    self._write_kept(record)
                except OSError:
                    self.memory.put_back(record)
                    raise
        except OSError as error:
            self.failure = str(error) or type(error).__name__
            return False
        self.failure = None
        self.memory.weigh()
        return not self.memory

    def _write_kept(self, record: Kept) -> None:
        """Write a record from memory; what some sinks have had goes to a segment that is only for the others."""
        sinks = tuple(self._sinks())
        left = still_for(record, sinks)
        if record.kind not in (SPAN, SESSION) or left == sinks:
            if record.kind != ENDED or record.payload:
                self._write(record.kind, record.payload, record.key, record.definition)
            return
        segment = self._side.get(left)
        if segment is None:
            segment = self._side[left] = Segment(self.folder, self._header(left))
            self._unsynced.append(segment)
        self._append(segment, record.kind, record.payload, record.key, record.definition)

    @property
    def dirty(self) -> bool:
        """Whether something was written that the disk was not asked to keep."""
        segment = self.segment
        return bool(self._unsynced) or (segment is not None and segment.size != segment.synced)

    def sync(self) -> None:
        """Ask the disk to keep what is written, in finished segments too. Not for ``on_end``."""
        with contextlib.suppress(IndexError):
            while True:
                self._unsynced.popleft().sync()
        segment = self.segment
        if segment is not None:
            segment.sync()

    def report(self) -> None:
        """Log, once each, that the journal cannot be written and that it can again."""
        if self.failure is not None and not self._reported:
            self._reported = True
            logger.warning(
                "The journal in %s cannot be written (%s). Spans are kept in memory, up to %d bytes, until it can.",
                self.folder,
                self.failure,
                self._options.memory_bytes,
            )
        elif self.failure is None and self._reported:
            self._reported = False
            logger.warning("The journal in %s can be written again.", self.folder)

    def check(self) -> None:
        """Notice that the segment's file was deleted under us, and write what it held again."""
        segment = self.segment
        if segment is None or self.failure is not None or not segment.vanished:
            return
        self._fail(FileNotFoundError(f"{segment.path} was deleted"))
        if self.retry():
            # The descriptor still holds what the file held.
            for record in SegmentReader(segment.path).read_from(segment.fd, sealed=True):
                if record.kind != HEADER:
                    self.append_again(record)

    def append_again(self, record: Record) -> None:
        """Write a record that was written before, under a new number."""
        segment = self.segment
        if segment is None:
            return
        try:
            segment.append(record.kind, record.payload)
            if record.kind == ORIGIN:
                segment.origins.add(record.payload[:8])
        except OSError as error:
            self._fail(error)
            self.memory.keep(Kept(record.kind, record.payload, b"", b""))

    def forked(self) -> None:
        """Forget the parent's segment and what it keeps in memory: both are the parent's business."""
        for segment in (*self._slots.values(), *self._side.values(), *self._unsynced):
            segment.abandon()
        self._unsynced.clear()
        self._slots, self._side = {}, {}
        self._generation = 0
        self.memory.forked()
        self.written = Counter()
        self.failure = None


def _whole(path: Path) -> int:
    """Return where the last whole record of a segment ends whose last one was only written in part."""
    reader = SegmentReader(path)
    for _record in reader.read(sealed=False):
        pass
    return reader.offset
