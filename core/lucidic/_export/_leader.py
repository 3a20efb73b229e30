"""Locks between processes that the kernel frees when their holder is killed."""

from __future__ import annotations

import contextlib
import fcntl
import os
from pathlib import Path


class Leadership:
    """A lock on a file that at most one process holds.

    A forked child has a copy of the descriptor: it must ``abandon`` it, which leaves the parent's lock alone.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self._fd = -1

    @property
    def held(self) -> bool:
        """Whether this process holds the lock."""
        return self._fd >= 0

    def acquire(self) -> bool:
        """Take the lock if it is free; never wait.

        Raises:
            OSError: The file cannot be opened.
        """
        if self._fd >= 0:
            return True
        self.path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        fd = os.open(self.path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            os.close(fd)
            return False
        self._fd = fd
        return True

    def release(self) -> None:
        """Free the lock."""
        self.abandon()

    def abandon(self) -> None:
        """Close this process's copy of the lock; it stays with whoever else has one."""
        fd, self._fd = self._fd, -1
        if fd >= 0:
            with contextlib.suppress(OSError):
                os.close(fd)
