"""The exporter: what the rest of lucidic sees of the journal and its sinks."""

from __future__ import annotations

import logging
import os
import threading
import time
import weakref
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Final

from opentelemetry.sdk.trace import ReadableSpan

from lucidic._export._census import Census
from lucidic._export._counter import Counter
from lucidic._export._drainer import Drainer
from lucidic._export._health import read_books, take_health
from lucidic._export._journal import Journal
from lucidic._export._leader import Leadership
from lucidic._export._ledger import Health
from lucidic._export._listeners import Ear, Listener
from lucidic._export._options import ExportOptions
from lucidic._export._orphans import close_orphans
from lucidic._export._payload import pack_session, pack_span, pack_start
from lucidic._export._retention import DAMAGED, read_tombstones, sweep
from lucidic._export._segment import SESSION, SPAN, START, owner_key, owner_of
from lucidic._export._sink import Sink
from lucidic._export._sink_worker import SinkWorker
from lucidic._export._worker import Worker
from lucidic._records import SessionRecord


if TYPE_CHECKING:
    from lucidic._export._store import Store

logger = logging.getLogger("lucidic.export")

_LOOK: Final = 0.05
_TICK: Final = 0.005

_exporters: weakref.WeakSet[Exporter] = weakref.WeakSet()


class Exporter:
    """Write every span to the journal, and deliver the journal to the sinks.

    Creating it touches no disk and starts no thread; the first span does. ``span_started``, ``span_ended`` and
    ``session_changed`` never raise, take no lock, and may be called from any thread, from signal handlers and
    from finalizers. A forked child writes a segment of its own and starts a thread of its own at its first span.

    Args:
        home: The folder of the state: the journal is in ``home/spool``, the local store is ``home/store.db``.
        options: Limits and times.
        sinks: Where spans go besides the local store.
    """

    def __init__(
        self, home: Path, *, options: ExportOptions | None = None, sinks: Sequence[Sink] = ()
    ) -> None:
        self.home = Path(home)
        self.options = options = options or ExportOptions()
        self.store = _open_store(self.home) if options.store else None
        self.journal = Journal(self.home / "spool", options, self.sink_names)
        self.census = Census(self.journal.folder)
        self.produced = Counter()
        self.unencoded = Counter()
        self._progress = threading.Event()
        self._store_worker = self._work_for(self.store) if self.store is not None else None
        self.sink_workers = tuple(self._worker(sink) for sink in sinks)
        self._drainer = Drainer(self.journal, options, self._workers, self._keep_house)
        self._listeners: tuple[Ear, ...] = ()
        self._flushed = 0
        _exporters.add(self)

    def _work_for(self, store: Store) -> Worker:
        from lucidic._export._store_worker import StoreWorker

        return StoreWorker(store, self.journal.folder, self.options, self._progressed)

    def _worker(self, sink: Sink) -> SinkWorker:
        return SinkWorker(sink, self.journal.folder, self.options, self._progressed, self.journal.memory)

    def _workers(self) -> tuple[Worker, ...]:
        return (*((self._store_worker,) if self._store_worker else ()), *self.sink_workers)

    def _progressed(self) -> None:
        self._progress.set()

    def sink_names(self) -> tuple[str, ...]:
        """Name the sinks that this process's spans are for."""
        return tuple(worker.name for worker in self._workers())

    def span_started(self, span: ReadableSpan) -> None:
        """Note that a span runs, so that a later process can end it if this one is killed.

        Of its attributes only ids and kind are written: the others may still have to be masked.
        """
        try:
            origin = self.journal.origin(span)
            self.journal.append(START, pack_start(span, origin[0]), origin)
        except Exception:  # noqa: BLE001 - the span itself is still to come; nothing may reach the caller
            return

    def span_ended(self, span: ReadableSpan) -> None:
        """Write an ended span; when this returns, it survives the end of the process by any means."""
        self.produced.add()
        try:
            origin = self.journal.origin(span)
            payload = pack_span(span, origin[0], self.options.span_bytes)
        except Exception:  # noqa: BLE001 - counted; nothing may reach the caller
            self.unencoded.add()
            return
        try:
            self.journal.append(SPAN, payload, origin)
            for listener in self._listeners:
                listener.offer(payload, origin[1])
            self._drainer.wake()
        except Exception:  # noqa: BLE001 - nothing may reach the caller; the journal counts what it lost
            return

    def session_changed(self, record: SessionRecord) -> None:
        """Write a change of a session to the same journal; as durable as a span."""
        try:
            self.journal.append(SESSION, pack_session(record))
            self._drainer.wake()
        except Exception:  # noqa: BLE001 - nothing may reach the caller
            return

    def add_sink(self, sink: Sink) -> None:
        """Deliver the spans that end from now on to one more sink; one of the same name stays, with new credentials."""
        if sink.name in self.sink_names():
            for known in self.sink_workers:
                if known.name == sink.name:
                    known.renew(sink)
            return
        worker = self._worker(sink)
        self.sink_workers = (*self.sink_workers, worker)
        try:
            # A segment's header names its sinks.
            self.journal.rotate()
        except OSError as error:
            logger.warning("The sink %s takes part from the next segment on: %s", sink.name, error)
        if self._drainer.alive:
            worker.start()

    def listen(self, session_id: str | None = None) -> Listener:
        """Return a live iterator of the spans that end from now on, of one session or of all."""
        listener = Listener(session_id, self.detach)
        self.attach(listener)
        return listener

    def attach(self, listener: Ear) -> None:
        """Offer the spans that end from now on to a listener; its ``offer`` must neither raise nor wait."""
        self._listeners = (*self._listeners, listener)

    def detach(self, listener: Ear) -> None:
        """Offer no more spans to a listener."""
        self._listeners = tuple(known for known in self._listeners if known is not listener)

    def flush(self, timeout: float = 30.0) -> bool:
        """Deliver everything produced so far; return True only if every sink has it.

        False also tells that spans were dropped since the last flush, and that a sink has to be mended first; then
        the rest of the time is not waited for.

        Args:
            timeout: Most seconds this may take; kept even if a sink hangs.
        """
        until = time.monotonic() + timeout
        self.journal.retry(timeout)
        wishes = {worker.name: worker.hurry() for worker in self._workers()}
        delivered = self._wait_for_sinks(until, wishes)
        losses, before = self._losses(), self._flushed
        self._flushed = losses
        return delivered and losses == before and not self.journal.memory.spans

    def _losses(self) -> int:
        own = owner_key(os.getpid())
        stones = read_tombstones(self.journal.folder)
        dropped = sum(
            stone.spans for stone in stones if stone.reason != DAMAGED and owner_of(stone.segment) == own
        )
        return self.unencoded.value + self.journal.memory.lost.value + dropped

    def _wait_for_sinks(self, until: float, wishes: Mapping[str, int]) -> bool:
        """Wait until the sinks have what this process's segments hold now; return whether they do."""
        targets = self.journal.ends()
        if not targets and not self.journal.memory:
            return True
        kept = False
        while True:
            self._progress.clear()
            if self.journal.memory and self.journal.failure is None:
                self.journal.retry()  # what a sink was just being given stayed in memory
            if kept:
                targets = self.journal.ends()
            kept = bool(self.journal.memory)
            behind = [worker for worker in self._workers() if not worker.reached(targets)]
            left = until - time.monotonic()
            if not behind or left <= 0:
                return not behind
            if all(worker.blocked and worker.served >= wishes[worker.name] for worker in behind):
                return False
            self._progress.wait(min(left, _LOOK))

    def shutdown(self, timeout: float | None = None) -> bool:
        """Deliver what can be delivered and end the threads; return whether everything was delivered.

        May be called again. Spans that end later still go to the journal, and the next process delivers them.

        Args:
            timeout: Most seconds for everything together; by default ``options.exit_budget``.
        """
        budget = self.options.exit_budget if timeout is None else timeout
        until = time.monotonic() + budget
        self.journal.retry(budget)
        self._drainer.stop()
        wishes = {}
        for worker in self._workers():
            wishes[worker.name] = worker.stop()
            if self._begun and not worker.alive:
                worker.run_here(until)
        delivered = self._wait_for_sinks(until, wishes) and not self.journal.memory.spans
        self._drainer.join(max(0.0, until - time.monotonic()))
        for worker in self._workers():
            worker.join(max(0.0, until - time.monotonic()))
        if self.store is not None:
            self.store.close()
        if self._begun:
            self._say_what_is_left(delivered=delivered)
        if self.store is not None and self._store_worker is not None:
            # Looking whether everything had arrived opened it again in this thread.
            self._store_worker.join(max(0.0, until - time.monotonic()))
            self.store.close()
        return delivered

    @property
    def _begun(self) -> bool:
        """Whether this process has had anything to write."""
        return self.journal.segment is not None or bool(self.journal.memory)

    def _say_what_is_left(self, *, delivered: bool) -> None:
        """Log one line about what the books say is not delivered, if there is any."""
        health = self.health()
        # Other processes' spans may be pending; that is their line.
        if delivered and health.ok:
            return
        said = [
            *health.in_words(),
            *(page.in_words() for page in health.sinks if page.pending or not page.sound),
        ]
        if delivered and not said:
            return
        only = "What is only in memory is lost now. " if health.memory_spans else ""
        logger.warning(
            "Not everything is delivered: %s. %sWhat is pending is kept in %s for the next process.",
            "; ".join(said),
            only,
            self.journal.folder,
        )

    def wind_up(self, timeout: float) -> None:
        """Do the same as ``shutdown`` from a signal handler: best effort, with no lock and no log line."""
        until = time.monotonic() + timeout
        self._drainer.stop()
        workers = [worker for worker in self._workers() if worker.alive]
        for worker in workers:
            worker.stop()
        while time.monotonic() < until and not all(worker.finished for worker in workers):
            time.sleep(_TICK)

    def _keep_house(self, leader: Leadership) -> None:
        """Look after what dead processes left and what may be deleted."""
        if close_orphans(self.journal.folder, leader):
            for worker in self._workers():
                worker.wake()
        if self.store is not None:
            self.store.close_dead()
            self.store.fold()
        books = read_books(self)
        sweep(self.journal.folder, self.census.take(), books, self.options)

    def health(self) -> Health:
        """Return the books: what was produced, and what became of it."""
        return take_health(self)

    def forked(self) -> None:
        """Begin anew in a forked child."""
        self.journal.forked()
        self.produced, self.unencoded = Counter(), Counter()
        self._progress = threading.Event()
        self.census = Census(self.journal.folder)
        for worker in self._workers():
            worker.forked()
        self._drainer.forked()
        self._listeners = ()
        self._flushed = 0


def _open_store(home: Path) -> Store:
    # SQLAlchemy takes more memory than everything else here: only who has a store pays for it.
    from lucidic._export._store import Store

    return Store(home)


def _forked() -> None:
    for exporter in tuple(_exporters):
        exporter.forked()


os.register_at_fork(after_in_child=_forked)
