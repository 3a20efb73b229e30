"""The thread behind the journal: keeps it on the disk, fills the local store, looks after dead processes."""

from __future__ import annotations

import contextlib
import logging
import queue
import threading
import time
from typing import Final

from lucidic._export._journal import Journal
from lucidic._export._leader import Leadership
from lucidic._export._options import ExportOptions
from lucidic._export._orphans import LOCK_NAME, close_orphans
from lucidic._export._store import Store
from lucidic.errors import StoreError


logger = logging.getLogger("lucidic.export")

_HOUSEKEEPING: Final = 5.0


class Drainer:
    """Drain the journal into the store. Creating it starts no thread; ``start`` does, once.

    The caller's side (``wake``) takes no lock: a ``SimpleQueue`` may be put to from signal handlers and
    finalizers.
    """

    def __init__(self, journal: Journal, store: Store | None, options: ExportOptions) -> None:
        self.note = ""
        self._journal = journal
        self._store = store
        self._options = options
        self._leader = Leadership(journal.folder / LOCK_NAME)
        self._queue: queue.SimpleQueue[threading.Event | None] = queue.SimpleQueue()
        self._thread: threading.Thread | None = None
        self._awake = False
        self._since = 0
        self._stopped = False
        self._next_housekeeping = 0.0

    @property
    def alive(self) -> bool:
        """Whether the thread runs."""
        return self._thread is not None and self._thread.is_alive()

    def wake(self) -> None:
        """Tell the thread that there is something to do; start it if nobody has."""
        self._since += 1
        if not self._awake or self._since == self._options.batch_spans:
            self._awake = True
            self._queue.put(None)
        if self._thread is None and not self._stopped:
            self._start()

    def _start(self) -> None:
        thread = threading.Thread(target=self._run, name="lucidic-journal", daemon=True)
        self._thread = thread
        # At the interpreter's end and in some subinterpreters no thread can start: then spans are only written,
        # and ``drain`` or the next process delivers them.
        with contextlib.suppress(RuntimeError):
            thread.start()

    def drain(self, timeout: float) -> bool:
        """Have everything written so far imported; return whether the thread was through in time."""
        if not self.alive:
            return self._step()
        done = threading.Event()
        self._queue.put(done)
        return done.wait(timeout)

    def stop(self, timeout: float) -> bool:
        """Drain and end the thread; return whether it was through in time."""
        self._stopped = True
        finished = self.drain(timeout)
        self._queue.put(None)
        return finished

    def forked(self) -> None:
        """Begin anew in a forked child, where the parent's thread does not exist."""
        self._leader.abandon()
        self._queue = queue.SimpleQueue()
        self._thread = None
        self._awake = False
        self._since = 0

    def _run(self) -> None:
        while not self._stopped:
            waiting = self._wait()
            self._step()
            for done in waiting:
                done.set()
        self._leader.release()

    def _wait(self) -> list[threading.Event]:
        """Wait for work, and then a moment for more of it; return who waits for it to be done."""
        waiting: list[threading.Event] = []
        until = time.monotonic() + self._options.poll
        lingering = False
        while not self._stopped:
            try:
                token = self._queue.get(timeout=max(0.0, until - time.monotonic()))
            except queue.Empty:
                break
            if token is not None:
                waiting.append(token)
                break
            if self._since >= self._options.batch_spans:
                break
            if not lingering:
                lingering = True
                until = time.monotonic() + self._options.linger
        with contextlib.suppress(queue.Empty):
            while True:
                token = self._queue.get_nowait()
                if token is not None:
                    waiting.append(token)
        self._awake = False
        self._since = 0
        return waiting

    def _step(self) -> bool:
        """Do one round; return whether it did all there is to do. Never raises."""
        try:
            self._journal.check()
            self._journal.retry()
            self._journal.report()
            segment = self._journal.segment
            if segment is not None and self._options.fsync_window:
                segment.sync()
            self._import()
            self._keep_house()
        except Exception as error:  # noqa: BLE001 - the thread must go on, whatever a sink does
            self._complain(error)
            return False
        self.note = ""
        return True

    def _import(self) -> None:
        if self._store is not None:
            while self._store.import_once():
                pass

    def _keep_house(self) -> None:
        now = time.monotonic()
        if now < self._next_housekeeping:
            return
        self._next_housekeeping = now + _HOUSEKEEPING
        if not self._leader.acquire():
            return
        if close_orphans(self._journal.folder, self._leader):
            self._import()
        if self._store is not None:
            self._store.close_dead()

    def _complain(self, error: Exception) -> None:
        text = str(error) or type(error).__name__
        if text != self.note:
            kind = logging.WARNING if isinstance(error, StoreError | OSError) else logging.ERROR
            logger.log(kind, "The journal cannot be drained for now; its spans are kept: %s", text)
        self.note = text
