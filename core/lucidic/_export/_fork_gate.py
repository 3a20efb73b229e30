"""Keeping the database out of forks.

SQLite keeps its locks and mutexes in the memory of the process. A child that is forked in the middle of a
transaction has them for ever: every connection that it opens to the same file finds it locked. So nobody is in the
database, and no connection is open, when this process forks.
"""

from __future__ import annotations

import contextlib
import os
import threading
import time
import weakref
from collections.abc import Generator
from typing import Final, Protocol


PATIENCE: Final = 1.0
"""Most seconds that a fork waits for a transaction to end."""


class Closable(Protocol):
    """What has connections."""

    def before_fork(self, *, quiet: bool) -> None:
        """Close the connections; if it is not ``quiet``, somebody is still using one."""
        ...


class ForkGate:
    """Count who is in the database, and close it for the moment of a fork."""

    def __init__(self) -> None:
        self._condition = threading.Condition()
        self._inside = 0
        self._closed = False
        self._members: weakref.WeakSet[Closable] = weakref.WeakSet()
        os.register_at_fork(before=self._before, after_in_parent=self._open, after_in_child=self._renew)

    def add(self, member: Closable) -> None:
        """Have a member's connections closed before each fork."""
        self._members.add(member)

    @contextlib.contextmanager
    def inside(self) -> Generator[None]:
        """Be in the database; a fork waits until one is out again."""
        with self._condition:
            self._condition.wait_for(lambda: not self._closed, PATIENCE)
            self._inside += 1
        try:
            yield
        finally:
            with self._condition:
                self._inside -= 1
                self._condition.notify_all()

    def _before(self) -> None:
        until = time.monotonic() + PATIENCE
        with self._condition:
            self._closed = True
            while self._inside and (left := until - time.monotonic()) > 0:
                self._condition.wait(left)
            quiet = not self._inside
        for member in tuple(self._members):
            with contextlib.suppress(Exception):
                member.before_fork(quiet=quiet)

    def _open(self) -> None:
        with self._condition:
            self._closed = False
            self._condition.notify_all()

    def _renew(self) -> None:
        self._condition = threading.Condition()
        self._inside = 0
        self._closed = False


gate: Final = ForkGate()
"""The process's only one."""
