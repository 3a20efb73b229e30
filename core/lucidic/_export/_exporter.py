"""The exporter: what the rest of lucidic sees of the journal and its sinks."""

from __future__ import annotations

import logging
import os
import time
import weakref
from collections.abc import Sequence
from pathlib import Path

from opentelemetry.sdk.trace import ReadableSpan

from lucidic._export._counter import Counter
from lucidic._export._drainer import Drainer
from lucidic._export._health import take_health
from lucidic._export._journal import Journal
from lucidic._export._ledger import Health
from lucidic._export._listeners import Listener
from lucidic._export._options import ExportOptions
from lucidic._export._payload import pack_session, pack_span, pack_start
from lucidic._export._segment import SESSION, SPAN, START
from lucidic._export._sink import Sink
from lucidic._export._store import Store
from lucidic._export._store_import import SINK as STORE
from lucidic._records import SessionRecord


logger = logging.getLogger("lucidic.export")

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
        self.store = Store(self.home) if options.store else None
        self.sinks: tuple[Sink, ...] = tuple(sinks)
        self.journal = Journal(self.home / "spool", options, self.sink_names)
        self.produced = Counter()
        self.unencoded = Counter()
        self._drainer = Drainer(self.journal, self.store, options)
        self._listeners: tuple[Listener, ...] = ()
        _exporters.add(self)

    def sink_names(self) -> tuple[str, ...]:
        """Name the sinks that this process's spans are for."""
        own = (STORE,) if self.options.store else ()
        return own + tuple(sink.name for sink in self.sinks)

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
        """Deliver the spans that end from now on to one more sink. A sink of the same name is replaced."""
        self.sinks = (*(known for known in self.sinks if known.name != sink.name), sink)
        try:
            # A segment's header names its sinks.
            self.journal.rotate()
        except OSError as error:
            logger.warning("The sink %s takes part from the next segment on: %s", sink.name, error)

    def listen(self, session_id: str | None = None) -> Listener:
        """Return a live iterator of the spans that end from now on, of one session or of all."""
        listener = Listener(session_id, self._unlisten)
        self._listeners = (*self._listeners, listener)
        return listener

    def _unlisten(self, listener: Listener) -> None:
        self._listeners = tuple(known for known in self._listeners if known is not listener)

    def flush(self, timeout: float = 30.0) -> bool:
        """Deliver everything produced so far; return True only if every sink has it.

        Args:
            timeout: Most seconds this may take; kept even if a sink hangs.
        """
        until = time.monotonic() + timeout
        if self.journal.segment is None and not self.journal.memory_spans:
            return True
        self._drainer.drain(max(0.0, until - time.monotonic()))
        return self._delivered()

    def _delivered(self) -> bool:
        health = self.health()
        return not health.memory_spans and not any(sink.pending for sink in health.sinks)

    def shutdown(self, timeout: float | None = None) -> bool:
        """Deliver what can be delivered and end the threads; return whether everything was delivered.

        May be called again. Spans that end later still go to the journal, and the next process delivers them.

        Args:
            timeout: Most seconds for everything together; by default ``options.exit_budget``.
        """
        budget = self.options.exit_budget if timeout is None else timeout
        if self.journal.segment is None and not self.journal.memory_spans:
            return True
        self._drainer.stop(budget)
        return self._delivered()

    def health(self) -> Health:
        """Return the books: what was produced, and what became of it."""
        return take_health(self)

    def forked(self) -> None:
        """Begin anew in a forked child."""
        self.journal.forked()
        self.produced, self.unencoded = Counter(), Counter()
        self._drainer.forked()
        self._listeners = ()


def _forked() -> None:
    for exporter in tuple(_exporters):
        exporter.forked()


os.register_at_fork(after_in_child=_forked)
