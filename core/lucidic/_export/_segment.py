"""One file of the journal: its name, its records, and appending to it.

A record is ``magic(4) length(4) crc32(4) type(1) sequence(4) payload``, little-endian; ``length`` and ``crc32``
are of everything behind them. Each record is one ``os.write`` to a file opened with ``O_APPEND``, so that threads
need no lock. The owner holds a ``flock`` on the file as long as it may write to it; the kernel frees it with the
process.
"""

from __future__ import annotations

import contextlib
import fcntl
import functools
import hashlib
import itertools
import json
import os
import platform
import struct
import time
import zlib
from pathlib import Path
from typing import Any, Final

from lucidic._export._failpoints import failpoint


MAGIC: Final = b"\xa5LJ1"
FORMAT_VERSION: Final = 1
SUFFIX: Final = ".seg"
_HEADER_LIMIT: Final = 1 << 20

HEADER: Final = 0
ORIGIN: Final = 1
SPAN: Final = 2
START: Final = 3
SESSION: Final = 4
ENDED: Final = 5
"""Trace and span id of a span whose end is not in the journal, because every sink had it while it could not be written."""

FRAME = struct.Struct("<4sII")
BODY = struct.Struct("<BI")
_pack_frame, _pack_body = FRAME.pack, BODY.pack


def pack_record(kind: int, sequence: int, payload: bytes) -> bytes:
    """Frame one record."""
    body = _pack_body(kind, sequence) + payload
    return _pack_frame(MAGIC, len(body), zlib.crc32(body)) + body


@functools.cache
def _host_key() -> str:
    boot = ""
    with contextlib.suppress(OSError):
        boot = Path("/proc/sys/kernel/random/boot_id").read_text(encoding="ascii")
    return hashlib.blake2s(f"{platform.node()}\n{boot}".encode(), digest_size=5).hexdigest()


def _started(pid: int) -> str:
    # A process id comes back; together with the start time of the process it does not.
    with contextlib.suppress(OSError, IndexError):
        stat = Path(f"/proc/{pid}/stat").read_text(encoding="utf-8", errors="replace")
        return stat.rpartition(")")[2].split()[19]
    return "0"


@functools.lru_cache(maxsize=4)
def owner_key(pid: int) -> str:
    """Name the process so that no other one, earlier or later, on this host or another, has the same name."""
    return f"{_host_key()}-{pid}-{_started(pid)}"


@functools.lru_cache(maxsize=4)
def owner_label(pid: int) -> str:
    """Name the process for people: ``host:pid``."""
    return f"{platform.node()}:{pid}"


_numbers = itertools.count()


def segment_name(pid: int) -> str:
    """Make the name of a new segment; names sort by the time of their creation."""
    return f"{time.time_ns():020d}-{owner_key(pid)}-{next(_numbers)}{SUFFIX}"


def owner_of(name: str) -> str:
    """Read the owner's key from a segment's name."""
    return "-".join(name.split("-")[1:4])


def owner_alive(owner: str) -> bool:
    """Tell whether this owner is a process of this host that runs now."""
    host, _, rest = owner.partition("-")
    pid, _, started = rest.partition("-")
    return host == _host_key() and pid.isdigit() and started != "0" and _started(int(pid)) == started


def created_ns(name: str) -> int:
    """Read the time of creation, in nanoseconds, from a segment's name; 0 for a foreign file's."""
    head = name.partition("-")[0]
    return int(head) if head.isascii() and head.isdigit() else 0


def segments(folder: Path) -> list[str]:
    """List the names of the segments in the folder, oldest first; an absent folder has none."""
    try:
        names = os.listdir(folder)  # noqa: PTH208 - names are what is wanted
        return sorted(name for name in names if name.endswith(SUFFIX))
    except (FileNotFoundError, NotADirectoryError):
        return []


class Segment:
    """The segment that this process writes to.

    Its descriptor is closed when the last reference goes, and not before: a thread that has just read ``fd`` must
    never write to a descriptor that already belongs to somebody else's file.

    Raises:
        OSError: The file cannot be created.
    """

    __slots__ = ("_sequence", "fd", "name", "origins", "path", "size", "synced", "torn")

    def __init__(self, folder: Path, header: bytes) -> None:
        self.fd = -1
        self.name = segment_name(os.getpid())
        self.path = folder / self.name
        self.size = 0
        self.synced = 0
        self.torn = False
        self.origins: set[bytes] = set()
        self._sequence = itertools.count()
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        flags = os.O_RDWR | os.O_APPEND | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC
        # Under its final name the file is locked and has its header: nobody sees it before.
        unfinished = self.path.with_suffix(".new")
        self.fd = os.open(unfinished, flags, 0o600)
        try:
            # A file system without flock leaves the segment adoptable at once.
            with contextlib.suppress(OSError):
                fcntl.flock(self.fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
            self.append(HEADER, header)
            unfinished.rename(self.path)
        except OSError:
            with contextlib.suppress(OSError):
                unfinished.unlink()
            raise

    def append(self, kind: int, payload: bytes, *, first: bytes = b"") -> None:
        """Append one record, with an origin's record before it if ``first`` has one; durable on return.

        Raises:
            OSError: The record is not on the disk, or only a part of it.
        """
        data = pack_record(kind, next(self._sequence), payload)
        if first:
            data = pack_record(ORIGIN, next(self._sequence), first) + data
        failpoint("before-write")
        written = os.write(self.fd, data)
        if written != len(data):
            # What is there of it stays: readers pass over it, and cutting it off could cut another thread's.
            self.torn = True
            raise OSError(f"Only {written} of {len(data)} bytes could be written to {self.path}.")
        self.size += written
        failpoint("after-write")

    def sync(self, *, force: bool = False) -> None:
        """Ask the disk to keep what is written; an error means that a power failure may cost more.

        With ``force`` also where another thread is just asking for the same, and may not have its answer yet.
        """
        size = self.size
        if size == self.synced and not force:
            return
        first, self.synced = not self.synced, size
        with contextlib.suppress(OSError):
            os.fdatasync(self.fd)
            if first:
                # The file's name is the folder's content, and has to be kept like the file's own.
                _sync_folder(self.path.parent)

    def discard(self) -> None:
        """Delete the file: it holds nothing."""
        with contextlib.suppress(OSError):
            self.path.unlink()

    @property
    def vanished(self) -> bool:
        """Whether somebody deleted the file under us."""
        try:
            return os.fstat(self.fd).st_nlink == 0
        except OSError:
            return True

    def abandon(self) -> None:
        """Let go of the parent's file in a forked child, without unlocking it.

        The lock belongs to the open file that parent and child share; the number stays taken, because a frame
        that was interrupted by the fork may still write to it.
        """
        with contextlib.suppress(OSError):
            null = os.open(os.devnull, os.O_WRONLY | os.O_CLOEXEC)
            try:
                os.dup2(null, self.fd, inheritable=False)
            finally:
                os.close(null)
            return
        with contextlib.suppress(OSError):
            os.close(self.fd)
        self.fd = -1

    def __del__(self) -> None:
        fd, self.fd = self.fd, -1
        if fd >= 0:
            with contextlib.suppress(OSError):
                os.close(fd)


def _sync_folder(folder: Path) -> None:
    fd = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(fd)
    finally:
        os.close(fd)


def is_open(path: Path) -> bool:
    """Tell whether the owner of a segment still holds it; a segment that is gone is not open.

    Never blocks. The look itself takes a shared lock for a moment.
    """
    try:
        fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    except OSError:
        return False
    try:
        fcntl.flock(fd, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except OSError:
        return True
    finally:
        os.close(fd)
    return False


def read_header(path: Path) -> dict[str, Any] | None:
    """Read what the header of a segment says; None if it is damaged.

    Raises:
        OSError: The file cannot be read.
    """
    with path.open("rb") as file:
        head = file.read(FRAME.size)
        if len(head) < FRAME.size:
            return None
        magic, size, crc = FRAME.unpack(head)
        body = file.read(size) if magic == MAGIC and size < _HEADER_LIMIT else b""
    if len(body) < BODY.size or zlib.crc32(body) != crc or body[0] != HEADER:
        return None
    try:
        content: dict[str, Any] = json.loads(body[BODY.size :])
    except ValueError:
        return None
    return content
