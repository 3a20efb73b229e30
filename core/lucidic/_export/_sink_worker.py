"""Delivering the journal to one sink."""

from __future__ import annotations

import copy
import logging
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Final

from lucidic._export._backoff import PROBE, Backoff
from lucidic._export._book import Book, read_book, write_book
from lucidic._export._failpoints import failpoint
from lucidic._export._gather import Gathered, Gatherer, advance
from lucidic._export._ledger import SinkState
from lucidic._export._options import ExportOptions
from lucidic._export._payload import SpanEntry
from lucidic._export._quarantine import quarantine
from lucidic._export._retention import known_segments
from lucidic._export._sink import Answer, Outcome, Renewable, Sink, span_count
from lucidic._export._worker import Worker


logger = logging.getLogger("lucidic.export")

_STATES: Final[Mapping[Answer, SinkState]] = {"ok": "ok", "retry": "retrying", "paused": "paused"}


class SinkWorker(Worker):
    """Give the journal's records to a sink, batch by batch, and keep its book."""

    def __init__(
        self,
        sink: Sink,
        spool: Path,
        options: ExportOptions,
        progress: Callable[[], None],
        backoff: Backoff | None = None,
    ) -> None:
        self.sink = sink
        self._backoff = backoff or Backoff()
        self._book = Book()
        self._shown: Book | None = None
        self._gatherer = Gatherer(spool, sink.name, options)
        super().__init__(sink.name, spool, options, progress)

    def book(self) -> Book:
        """Return the sink's book, by whichever process keeps it; not to be changed."""
        shown = self._shown
        return shown if shown is not None and self._leader.held else read_book(self._spool, self.name)

    def reached(self, targets: Mapping[str, int]) -> bool:
        """See Worker."""
        positions = self.book().positions
        return all(
            name in positions and positions[name].offset >= size
            for name, size in targets.items()
            # What was written before the sink was added is not for it.
            if self._gatherer.is_mine(name)
        )

    @property
    def blocked(self) -> bool:
        """See Worker: the configuration has to be mended first."""
        return self.book().state == "paused"

    def renew(self, other: Sink) -> None:
        """Let the sink go on with the other one's credentials, if it knows how to, and try at once."""
        if isinstance(self.sink, Renewable):
            self.sink.renew(other)
            self.hurry()

    def close(self) -> None:
        """See Worker."""
        self.sink.close()

    def forked(self) -> None:
        """See Worker."""
        super().forked()
        self._book, self._shown = Book(), None
        self._gatherer = Gatherer(self._spool, self.name, self._options)

    def _step(self) -> bool:
        if time.monotonic() < self._not_before:
            return False
        try:
            if not self._leader.held:
                if not self._leader.acquire():
                    return False
                self._book = read_book(self._spool, self.name)
            found = self._gatherer.gather(self._book)
            if found.items:
                return self._deliver(found)
            if found.passed or found.finished:
                advance(self._book, found, 0)
                self._save()
        except Exception as error:  # noqa: BLE001 - the thread must go on; nothing was taken
            self._answered(Outcome(answer="retry", note=f"{type(error).__name__}: {error}"))
        return False

    def _deliver(self, found: Gathered) -> bool:
        batch = self._gatherer.batch(found)
        failpoint("deliver-before")
        try:
            left = self._until - time.monotonic()
            outcome = self.sink.deliver(batch, max(0.1, min(self._options.request_timeout, left)))
        except Exception as error:  # noqa: BLE001 - a sink is foreign code; the batch is sent again
            outcome = Outcome(answer="retry", note=f"{type(error).__name__}: {error}")
        failpoint("deliver-after")
        if outcome.refused:
            quarantine(self._spool, self.name, outcome.refused, batch)
        self._account(found, outcome)
        self._answered(outcome)
        self._save()
        # A batch that was not full was all there was; the next one may wait until it is worth a request.
        return outcome.answer == "ok" and (found.full or outcome.taken < len(found.items))

    def _account(self, found: Gathered, outcome: Outcome) -> None:
        taken = found.items[: outcome.taken]
        spans = span_count(taken)
        if outcome.delivered + outcome.rejected + len(outcome.dropped) != spans:
            raise ValueError(f"The sink {self.name} took {spans} spans and accounts for another number.")
        if not outcome.rejected and not outcome.dropped:
            for item, (name, _end) in zip(taken, found.ends, strict=False):
                if isinstance(item, SpanEntry):
                    self._book.at(name).delivered += 1
            advance(self._book, found, outcome.taken)
            return
        refused = {id(entry) for entry, _reason in outcome.refused}
        dropped = {id(entry): reason for entry, reason in outcome.dropped}
        # Of a partial success the number is known, and not which spans they are.
        unnamed = outcome.rejected - len(refused)
        for item, (name, _end) in zip(taken, found.ends, strict=False):
            if not isinstance(item, SpanEntry):
                continue
            position = self._book.at(name)
            if id(item) in refused:
                position.rejected += 1
            elif id(item) in dropped:
                position.drop(dropped[id(item)])
            elif unnamed > 0:
                unnamed -= 1
                position.rejected += 1
            else:
                position.delivered += 1
        advance(self._book, found, outcome.taken)

    def _answered(self, outcome: Outcome) -> None:
        """Note the sink's state, log each change of it once, and set the time of the next attempt."""
        state, before = _STATES[outcome.answer], self._book.state
        if outcome.answer == "ok" or outcome.taken:
            self._backoff.reset()
        self._asked_to_wait = outcome.retry_after is not None and outcome.answer == "retry"
        if outcome.answer == "ok":
            self._not_before = 0.0
        else:
            paused = outcome.answer == "paused"
            delay = PROBE if paused else self._backoff.delay(outcome.retry_after)
            self._not_before = time.monotonic() + delay
        if state != before:
            what = {"ok": "takes spans again", "retrying": "does not take spans now", "paused": "refuses us"}[
                state
            ]
            logger.warning("The sink %s %s%s.", self.name, what, f": {outcome.note}" if outcome.note else "")
        self._book.state, self._book.note = state, outcome.note

    def _save(self) -> None:
        self._book.fold(known_segments(self._spool))
        self._shown = copy.deepcopy(self._book)
        # On a full disk the book in memory still counts; after a crash one batch more is sent again.
        try:
            write_book(self._spool, self.name, self._book)
        except OSError as error:
            self._book.note = f"The book cannot be written: {error}"
