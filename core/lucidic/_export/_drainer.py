"""The thread behind the journal: keeps it on the disk, wakes the sinks, looks after dead processes and old files."""

from __future__ import annotations

import contextlib
import logging
import queue
import threading
import time
from collections.abc import Callable, Sequence
from typing import Final

from lucidic._export._journal import Journal
from lucidic._export._leader import Leadership
from lucidic._export._options import ExportOptions
from lucidic._export._orphans import LOCK_NAME
from lucidic._export._worker import Worker


logger = logging.getLogger("lucidic.export")

HOUSEKEEPING: Final = 5.0
"""Seconds between two rounds through the folder."""


class Drainer:
    """Keep the journal and wake the sinks' workers. Creating it starts no thread; the first ``wake`` does.

    ``wake`` takes no lock: a ``SimpleQueue`` may be put to from signal handlers and finalizers.
    """

    def __init__(
        self,
        journal: Journal,
        options: ExportOptions,
        workers: Callable[[], Sequence[Worker]],
        keep_house: Callable[[Leadership], None],
    ) -> None:
        self._journal = journal
        self._options = options
        self._workers = workers
        self._keep_house = keep_house
        self._note = ""
        self._begin()

    def _begin(self) -> None:
        self._leader = Leadership(self._journal.folder / LOCK_NAME)
        self._queue: queue.SimpleQueue[None] = queue.SimpleQueue()
        self._thread: threading.Thread | None = None
        self._first = threading.Lock()
        self._awake = False
        self._since = 0
        self._stopped = False
        self._next_round = 0.0
        self._next_sync = 0.0

    @property
    def alive(self) -> bool:
        """Whether the thread runs."""
        return self._thread is not None and self._thread.is_alive()

    def wake(self) -> None:
        """Say that a record was written; start the threads if nobody has."""
        self._since += 1
        if not self._awake or self._since == self._options.batch_spans:
            self._awake = True
            self._queue.put(None)
        if self._thread is None and not self._stopped and self._first.acquire(blocking=False):
            self._start()

    def _start(self) -> None:
        thread = threading.Thread(target=self._run, name="lucidic-journal", daemon=True)
        self._thread = thread
        # At the interpreter's end and in some subinterpreters no thread can start: then spans are only written,
        # and the exit's last round or the next process delivers them.
        with contextlib.suppress(RuntimeError):
            thread.start()
        for worker in self._workers():
            worker.start()

    def stop(self) -> None:
        """End the thread."""
        self._stopped = True
        self._queue.put(None)

    def join(self, timeout: float) -> None:
        """Wait until the thread has ended."""
        thread = self._thread
        if thread is not None and thread.is_alive():
            thread.join(timeout)

    def forked(self) -> None:
        """Begin anew in a forked child, where the parent's thread does not exist."""
        self._leader.abandon()
        self._begin()

    def _run(self) -> None:
        while not self._stopped:
            if self._wait():
                for worker in self._workers():
                    worker.wake()
            self.keep()
        if self._options.fsync_window:
            self._journal.sync()
        self._leader.release()

    def _wait(self) -> bool:
        """Wait for a record and then for more of them, until it is worth a batch; return whether one came."""
        until = time.monotonic() + self._options.poll
        if self._options.fsync_window and self._journal.dirty:
            # What the last records of a burst wait for is the disk, and not for the next ones.
            until = min(until, self._next_sync)
        came = False
        while not self._stopped and (left := until - time.monotonic()) > 0:
            try:
                self._queue.get(timeout=left)
            except queue.Empty:
                break
            if self._since >= self._options.batch_spans:
                came = True
                break
            if not came:
                came = True
                until = time.monotonic() + self._options.linger
        self._awake = False
        self._since = 0
        return came

    def keep(self) -> None:
        """Do one round for the journal itself. Never raises."""
        try:
            self._journal.check()
            self._journal.retry()
            self._journal.report()
            now = time.monotonic()
            if self._options.fsync_window and now >= self._next_sync:
                self._next_sync = now + self._options.fsync_window / 2
                self._journal.sync()
            if now >= self._next_round:
                self._next_round = now + HOUSEKEEPING
                if self._leader.acquire():
                    self._keep_house(self._leader)
            self._note = ""
        except Exception as error:  # noqa: BLE001 - the thread must go on
            text = f"{type(error).__name__}: {error}"
            # Where the folder is the trouble, the journal has said so in a line of its own.
            if text != self._note and self._journal.failure is None:
                logger.warning("The journal's round failed and will be tried again: %s", text)
            self._note = text
