"""Delivering the journal to one sink."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Final

from lucidic._export._backoff import PROBE, Backoff
from lucidic._export._book import Book, add, read_book, write_book
from lucidic._export._failpoints import failpoint
from lucidic._export._gather import Gathered, Gatherer, account, advance
from lucidic._export._ledger import SinkState
from lucidic._export._memory import Claim, Memory
from lucidic._export._options import ExportOptions
from lucidic._export._quarantine import quarantine
from lucidic._export._retention import fold_gone
from lucidic._export._sink import Answer, Batch, Interruptible, Outcome, Renewable, Sink, span_count
from lucidic._export._worker import Worker


logger = logging.getLogger("lucidic.export")

HEDGE_SECONDS: Final = 2.0
"""Seconds after which a delivery is broken off and begun anew, once, if somebody begins to wait for it."""

_STATES: Final[Mapping[Answer, SinkState]] = {"ok": "ok", "retry": "retrying", "paused": "paused"}


class SinkWorker(Worker):
    """Give the journal's records to a sink, batch by batch, and keep its book."""

    def __init__(
        self,
        sink: Sink,
        spool: Path,
        options: ExportOptions,
        progress: Callable[[], None],
        memory: Memory,
    ) -> None:
        self.sink = sink
        self._memory = memory
        self._backoff = Backoff()
        self._book = Book()
        # What others see: the book as it was saved last, and what was delivered from memory since, changed as one.
        self._pages: tuple[Book | None, Book] = (None, Book())
        self._since: float | None = None
        self._broken_off = False
        self._gatherer = Gatherer(spool, sink.name, options)
        super().__init__(sink.name, spool, options, progress)

    def book(self) -> Book:
        """Return the sink's book, by whichever process keeps it; not to be changed."""
        shown, aside = self._pages
        mine = shown is not None and self._leader.held
        book = shown.copy() if shown is not None and mine else read_book(self._spool, self.name)
        if aside.positions and not mine:
            book.state, book.note = self._book.state, self._book.note
        return _enter(book, aside)

    def reached(self, targets: Mapping[str, int]) -> bool:
        """See Worker."""
        positions = self.book().positions
        return not self._memory.owes(self.name) and all(
            (name in positions and positions[name].offset >= size) or not self._awaits(name)
            for name, size in targets.items()
        )

    def _awaits(self, name: str) -> bool:
        # What was written before the sink was added is not for it, and what every sink had is deleted.
        try:
            return self._gatherer.is_mine(name) and (self._spool / name).exists()
        except OSError:
            return False

    @property
    def blocked(self) -> bool:
        """See Worker: the configuration has to be mended first."""
        return self.book().state == "paused"

    def renew(self, other: Sink) -> None:
        """Let the sink go on with the other one's credentials, if it knows how to, and try at once."""
        if isinstance(self.sink, Renewable):
            self.sink.renew(other)
            self.hurry()

    def hurry(self) -> int:
        """See Worker. A delivery that has long been under way is begun anew: its connection may be dead.

        Once until the sink answers again: one that is only slow must not be sent the same batch for ever.
        """
        number = super().hurry()
        since = self._since
        if since is not None and not self._broken_off and time.monotonic() - since >= HEDGE_SECONDS:
            self._broken_off = True
            if isinstance(self.sink, Interruptible):
                self.sink.interrupt()
        return number

    def close(self) -> None:
        """See Worker."""
        self.sink.close()

    def forked(self) -> None:
        """See Worker."""
        super().forked()
        self._book, self._pages = Book(), (None, Book())
        self._since, self._broken_off = None, False
        self._gatherer = Gatherer(self._spool, self.name, self._options)

    def _step(self) -> bool:
        if time.monotonic() < self._not_before:
            return False
        error: Exception | None = None
        more = False
        try:
            more = self._step_journal()
        except Exception as caught:  # noqa: BLE001 - the thread must go on; nothing was taken
            error = caught
        # What the disk cannot take does not wait for it; without the disk nobody can ask who else delivers, either.
        if not more and self._memory and time.monotonic() >= self._not_before:
            claim = self._memory.claim(self.name, self._options.batch_spans, self._options.batch_bytes)
            if claim is not None:
                return self._deliver_claim(claim)
        # Where the journal cannot be written either, the folder is the trouble, and the journal says so.
        if error is not None and not (isinstance(error, OSError) and self._memory):
            self._answered(Outcome(answer="retry", note=f"{type(error).__name__}: {error}"))
        return more

    def _step_journal(self) -> bool:
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
        return False

    def _deliver(self, found: Gathered) -> bool:
        outcome = self._offer(self._gatherer.batch(found))
        account(self._book, found, outcome)
        self._answered(outcome)
        self._save()
        # A batch that was not full was all there was; the next one may wait until it is worth a request.
        return outcome.answer == "ok" and (found.full or outcome.taken < len(found.items))

    def _deliver_claim(self, claim: Claim) -> bool:
        taken = 0
        try:
            outcome = self._offer(claim.batch())
            account(self._pages[1], claim.found, outcome)
            taken = outcome.taken
        except Exception as error:  # noqa: BLE001 - the thread must go on; nothing was taken
            outcome = Outcome(answer="retry", note=f"{type(error).__name__}: {error}")
        finally:
            claim.settle(taken)
        self._answered(outcome)
        if self._leader.held:
            self._save()
        return outcome.answer == "ok"

    def _offer(self, batch: Batch) -> Outcome:
        """Give the sink a batch; what it does not answer for is kept."""
        failpoint("deliver-before")
        self._since = time.monotonic()
        try:
            left = self._until - self._since
            outcome = self.sink.deliver(batch, max(0.1, min(self._options.request_timeout, left)))
        except Exception as error:  # noqa: BLE001 - a sink is foreign code; the batch is sent again
            outcome = Outcome(answer="retry", note=f"{type(error).__name__}: {error}")
        finally:
            self._since = None
        failpoint("deliver-after")
        if outcome.answer == "ok":
            self._broken_off = False
        if outcome.delivered + outcome.rejected + len(outcome.dropped) != span_count(
            batch.items[: outcome.taken]
        ):
            raise ValueError(f"The sink {self.name} accounts for another number of spans than it took.")
        if outcome.refused:
            try:
                quarantine(self._spool, self.name, outcome.refused, batch)
            except OSError as error:
                logger.warning(
                    "%d spans that %s refused cannot be kept: %s", len(outcome.refused), self.name, error
                )
        return outcome

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
        # On a full disk the book in memory still counts; after a crash one batch more is sent again.
        _shown, aside = self._pages
        try:
            fold_gone(self._book, self._spool)
            self._pages = (self._book.copy(), aside)
            write_book(self._spool, self.name, _enter(self._book.copy(), aside))
        except OSError as error:
            self._book.note = f"The book cannot be written: {error}"
            self._pages = (self._book.copy(), aside)
            return
        if aside.positions:
            self._pages = (_enter(self._book, aside).copy(), Book())


def _enter(book: Book, aside: Book) -> Book:
    """Enter into a book what was delivered from memory, which no book on the disk has yet."""
    for position in tuple(aside.positions.values()):
        add(book.totals, position)
    return book
