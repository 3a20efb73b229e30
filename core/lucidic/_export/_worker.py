"""The thread that serves one sink, so that no sink holds up another one."""

from __future__ import annotations

import contextlib
import itertools
import logging
import queue
import threading
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Final

from lucidic._export._book import FOLDER
from lucidic._export._leader import Leadership
from lucidic._export._options import ExportOptions


logger = logging.getLogger("lucidic.export")

_WAKE: Final = 0


class Worker:
    """Serve a sink in a thread of its own, as the sink's leader among the processes that share the folder.

    Creating it starts no thread. ``wake`` and ``hurry`` take no lock and may be called from anywhere.
    """

    def __init__(self, name: str, spool: Path, options: ExportOptions, progress: Callable[[], None]) -> None:
        self.name = name
        self._spool = spool
        self._options = options
        self._progress = progress
        self._begin()

    def _begin(self) -> None:
        self._leader = Leadership(self._spool / FOLDER / f"{self.name}.lock")
        self._queue: queue.SimpleQueue[int] = queue.SimpleQueue()
        self._thread: threading.Thread | None = None
        self._first = threading.Lock()
        self._stopping = False
        self._not_before = 0.0
        self._asked_to_wait = False
        self._hurried = False
        self._until = float("inf")
        self.finished = False
        self._wishes = itertools.count(1)
        self._heard = 0
        self._served = 0

    @property
    def alive(self) -> bool:
        """Whether the thread runs."""
        return self._thread is not None and self._thread.is_alive()

    @property
    def served(self) -> int:
        """The number of the last ``hurry`` after which the worker has tried to deliver."""
        return self._served

    def start(self) -> None:
        """Start the thread, once. Where none can start, the next process delivers."""
        if self._stopping or not self._first.acquire(blocking=False):
            return
        self._thread = threading.Thread(target=self._run, name=f"lucidic-{self.name}", daemon=True)
        with contextlib.suppress(RuntimeError):
            self._thread.start()

    def wake(self) -> None:
        """Say that there is something to deliver."""
        self._queue.put(_WAKE)

    def hurry(self) -> int:
        """Say that somebody waits: try at once, unless the sink itself asked to wait; return the wish's number."""
        number = next(self._wishes)
        self._queue.put(number)
        return number

    def stop(self) -> int:
        """End the thread as soon as nothing more can be delivered now; return the number as ``hurry`` does."""
        self._stopping = True
        return self.hurry()

    def join(self, timeout: float) -> None:
        """Wait until the thread has ended, at most that many seconds."""
        if self._thread is not None and self.alive and self._thread is not threading.current_thread():
            self._thread.join(timeout)

    def forked(self) -> None:
        """Begin anew in a forked child, where the parent's thread does not exist."""
        self._leader.abandon()
        self._begin()

    def run_here(self, until: float) -> None:
        """Do the thread's work in the caller's thread, where no thread runs, until that monotonic time."""
        self._until = until
        while time.monotonic() < until and self._step():
            pass
        self._leader.release()
        with contextlib.suppress(Exception):
            self.close()

    def _run(self) -> None:
        while True:
            # Looked at first: what was written before the wish to stop may have come behind a round's back.
            stopping = self._stopping
            more = self._step()
            self._hurried = self._hurried and more
            self._served = self._heard
            self._progress()
            if more:
                continue
            if stopping:
                break
            self._wait()
        self._leader.release()
        self.finished = True
        with contextlib.suppress(Exception):
            self.close()

    def _wait(self) -> None:
        """Wait for work; while the sink is to be left alone, at least that long."""
        until = max(self._not_before, time.monotonic() + self._options.poll)
        while (left := until - time.monotonic()) > 0:
            try:
                token = self._queue.get(timeout=left)
            except queue.Empty:
                return
            if token != _WAKE:
                self._hurried, self._heard = True, token
                self._not_before = self._not_before if self._asked_to_wait else 0.0
            if self._stopping or time.monotonic() >= self._not_before:
                return

    def _step(self) -> bool:
        """Deliver one batch; return whether to go on at once. Never raises."""
        raise NotImplementedError

    def close(self) -> None:
        """Free what the sink holds."""
        raise NotImplementedError

    def reached(self, targets: Mapping[str, int]) -> bool:
        """Tell whether these segments are delivered up to these offsets, by whichever process."""
        raise NotImplementedError

    @property
    def blocked(self) -> bool:
        """Whether waiting does not help."""
        raise NotImplementedError
