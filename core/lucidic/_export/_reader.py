"""Reading a segment: records in order, and over damaged places to the next good one."""

from __future__ import annotations

import os
import struct
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import Final, NamedTuple

from lucidic._export._segment import BODY, FRAME, MAGIC


_CHUNK: Final = 1 << 18
_HEAD: Final = struct.Struct("<4sIIBI")
RECORD_LIMIT: Final = 64 << 20
"""No record is longer, in bytes: a length beyond is damage."""


class Record(NamedTuple):
    """One record and where it ends."""

    kind: int
    sequence: int
    payload: bytes
    end: int
    """The offset behind the record: the cursor of whoever has taken it."""


class SegmentReader:
    """Read the records of a segment from an offset.

    Attributes:
        offset: Behind the last record given, or behind the damage passed over.
        damaged: Bytes passed over because no good record begins in them.

    Raises:
        OSError: The file cannot be read.
    """

    def __init__(self, path: Path, offset: int = 0) -> None:
        self.path = path
        self.offset = offset
        self.damaged = 0

    def read(self, *, sealed: bool) -> Iterator[Record]:
        """Yield the records that are complete now.

        Args:
            sealed: The owner writes no more. Then a bad end is damage; otherwise it may be a record that is just
                being written, and the reader stops in front of it.
        """
        with self.path.open("rb", buffering=0) as file:
            yield from self.read_from(file.fileno(), sealed=sealed)

    def read_from(self, fd: int, *, sealed: bool) -> Iterator[Record]:
        """Do the same with the descriptor of the file, which may be deleted."""
        while True:
            start = self.offset
            yield from self._read_chunk(_pread(fd, _CHUNK, start))
            if self.offset > start:
                continue
            # What the chunk begins with is longer than a chunk, damaged, or not there yet.
            record = self._next(_Window(fd, self.offset), sealed=sealed)
            if record is None:
                return
            self.offset = record.end
            yield record

    def _read_chunk(self, data: bytes) -> Iterator[Record]:
        """Yield the good records at the beginning of the data."""
        view, base, at, size = memoryview(data), self.offset, 0, len(data)
        while at + _HEAD.size <= size:
            magic, length, crc, kind, sequence = _HEAD.unpack_from(data, at)
            end = at + FRAME.size + length
            if (
                magic != MAGIC
                or end > size
                or length < BODY.size
                or zlib.crc32(view[at + FRAME.size : end]) != crc
            ):
                return
            record = Record(kind, sequence, data[at + _HEAD.size : end], base + end)
            at = end
            self.offset = record.end
            yield record

    def _next(self, window: _Window, *, sealed: bool) -> Record | None:
        at = self.offset
        while True:
            record = _parse(window, at)
            if isinstance(record, Record):
                self.damaged += at - self.offset
                return record
            if record == _SHORT and not sealed:
                return None
            # A bad place: look for the next magic. If nothing good follows in a file that still grows, wait.
            found = window.find(MAGIC, at + 1)
            if found < 0:
                if sealed and window.end() > self.offset:
                    self.damaged += window.end() - self.offset
                    self.offset = window.end()
                return None
            at = found


_SHORT: Final = "short"
_BAD: Final = "bad"


def _parse(window: _Window, at: int) -> Record | str:
    head = window.get(at, FRAME.size)
    if len(head) < FRAME.size:
        return _SHORT
    magic, size, crc = FRAME.unpack(head)
    if magic != MAGIC or not BODY.size <= size <= RECORD_LIMIT:
        return _BAD
    body = window.get(at + FRAME.size, size)
    if len(body) < size:
        return _SHORT
    if zlib.crc32(body) != crc:
        return _BAD
    kind, sequence = BODY.unpack_from(body)
    return Record(kind, sequence, body[BODY.size :], at + FRAME.size + size)


class _Window:
    """A piece of a file that moves forward."""

    def __init__(self, fd: int, start: int) -> None:
        self._fd = fd
        self._start = start
        self._data = b""

    def get(self, at: int, size: int) -> bytes:
        """Return up to ``size`` bytes from ``at``; fewer at the file's end."""
        relative = at - self._start
        if relative < 0 or relative + size > len(self._data):
            self._data = _pread(self._fd, max(size, _CHUNK), at)
            self._start, relative = at, 0
        return self._data[relative : relative + size]

    def find(self, needle: bytes, at: int) -> int:
        """Return the offset of the next occurrence, or -1."""
        while True:
            data = _pread(self._fd, _CHUNK, at)
            found = data.find(needle)
            if found >= 0:
                return at + found
            if len(data) < _CHUNK:
                return -1
            at += len(data) - len(needle) + 1

    def end(self) -> int:
        """Return the size of the file."""
        return os.fstat(self._fd).st_size


def _pread(fd: int, size: int, at: int) -> bytes:
    parts = []
    while size > 0:
        part = os.pread(fd, size, at)
        if not part:
            break
        parts.append(part)
        size -= len(part)
        at += len(part)
    return b"".join(parts)
