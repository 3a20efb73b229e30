"""Drawing up the books from the journal, the sinks' own books and this process's counters."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Final

from lucidic._export._book import Book, Position, add, book_names, read_book
from lucidic._export._census import SegmentCount
from lucidic._export._ledger import STORE, Health, SinkHealth, SinkState
from lucidic._export._retention import Tombstone, read_tombstones
from lucidic.errors import StoreError


if TYPE_CHECKING:
    from lucidic._export._exporter import Exporter


_STATES: Final[Mapping[str, SinkState]] = {"ok": "ok", "retrying": "retrying", "paused": "paused"}


def read_books(exporter: Exporter) -> dict[str, Book]:
    """Read the books of every sink of the folder, those of other processes' sinks too."""
    books = {name: read_book(exporter.journal.folder, name) for name in book_names(exporter.journal.folder)}
    for worker in exporter.sink_workers:
        books[worker.name] = worker.book()
    if exporter.store is not None:
        try:
            books[STORE] = exporter.store.book()
        except StoreError as error:
            books[STORE] = Book(state="failed", note=str(error))
    return books


def take_health(exporter: Exporter) -> Health:
    """Draw up the books of an exporter."""
    journal = exporter.journal
    memory = journal.memory
    in_memory, written, lost, passed = (
        memory.spans,
        journal.written.value,
        memory.lost.value,
        memory.passed.value,
    )
    unencoded, produced = exporter.unencoded.value, exporter.produced.value
    # The sinks first: what is delivered while the journal is counted is then still pending, not missing.
    waiting = {name: memory.waiting(name) for name in exporter.sink_names()}
    books = read_books(exporter)
    stones = read_tombstones(journal.folder)
    counts = exporter.census.take()
    dropped = {"encoding": unencoded, "memory_full": lost}
    return Health(
        produced=produced,
        written=written,
        memory_spans=in_memory,
        memory_bytes=memory.bytes,
        passed=passed,
        dropped={reason: number for reason, number in dropped.items() if number},
        failure=journal.failure,
        sinks=tuple(
            sink_health(name, books.get(name, Book()), counts, stones, waiting.get(name, 0))
            for name in _names(exporter, books)
        ),
        segments=len(counts),
        spool_bytes=sum(count.size for count in counts.values()),
    )


def _names(exporter: Exporter, books: Mapping[str, Book]) -> list[str]:
    own = exporter.sink_names()
    return [*own, *sorted(books.keys() - set(own))]


def sink_health(
    name: str,
    book: Book,
    counts: Mapping[str, SegmentCount],
    stones: Sequence[Tombstone],
    in_memory: int,
) -> SinkHealth:
    """Draw up one sink's page; ``in_memory`` are the spans that it can only have from this process's memory."""
    own = {key: count for key, count in counts.items() if name in (count.sinks or (STORE,))}
    total = Position()
    add(total, book.totals)
    # What is gone was counted while it was there; its own sums stand for it.
    buried = {stone.segment: stone for stone in stones if name in stone.sinks}
    produced = book.totals.taken + in_memory
    for segment, position in book.positions.items():
        add(total, position)
        if segment not in own and segment not in buried:
            produced += position.taken
    for count in own.values():
        produced += count.spans + count.damaged
        if count.damaged:
            total.drop("damaged", count.damaged)
    for segment, stone in buried.items():
        if segment in own:
            continue
        produced += stone.spans + stone.damaged
        total.drop(stone.reason, stone.spans - book.positions.get(segment, Position()).taken)
        if stone.damaged:
            total.drop("damaged", stone.damaged)
    offsets = {segment: position.offset for segment, position in book.positions.items()}
    pending = in_memory + sum(count.behind(offsets.get(segment, 0)) for segment, count in own.items())
    state: SinkState = _STATES.get(book.state, "failed")
    return SinkHealth(
        name=name,
        state="waiting" if state == "ok" and pending else state,
        note=book.note,
        produced=produced,
        delivered=total.delivered,
        rejected=total.rejected,
        dropped={reason: number for reason, number in total.dropped.items() if number},
        pending=pending,
    )
