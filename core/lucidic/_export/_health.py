"""Drawing up the books from the journal, the sinks' cursors and this process's counters."""

from __future__ import annotations

from typing import TYPE_CHECKING

from lucidic._export._census import Census, SegmentCount
from lucidic._export._ledger import Health, SinkHealth
from lucidic._export._store import Store
from lucidic._export._store_import import SINK as STORE
from lucidic.errors import StoreError


if TYPE_CHECKING:
    from lucidic._export._exporter import Exporter


def take_health(exporter: Exporter) -> Health:
    """Draw up the books of an exporter."""
    counts = Census(exporter.journal.folder).take()
    journal = exporter.journal
    sinks = [store_health(exporter.store, counts)] if exporter.store is not None else []
    return Health(
        produced=exporter.produced.value,
        written=journal.written.value,
        memory_spans=journal.memory_spans,
        memory_bytes=journal.memory_bytes,
        dropped={
            reason: number
            for reason, number in (
                ("encoding", exporter.unencoded.value),
                ("memory_full", journal.lost.value),
            )
            if number
        },
        failure=journal.failure,
        sinks=tuple(sinks),
        segments=len(counts),
        spool_bytes=sum(count.size for count in counts.values()),
    )


def store_health(store: Store, counts: dict[str, SegmentCount]) -> SinkHealth:
    """Draw up the local store's page."""
    own = {name: count for name, count in counts.items() if count.sinks is None or STORE in count.sinks}
    try:
        offsets, delivered, totals = store.books()
    except StoreError as error:
        pending = sum(count.spans for count in own.values())
        return SinkHealth(name=STORE, state="failed", note=str(error), produced=pending, pending=pending)
    damaged = sum(count.damaged for count in own.values())
    dropped = {key.partition(".")[2]: value for key, value in totals.items() if key.startswith("dropped.")}
    if damaged:
        dropped["damaged"] = dropped.get("damaged", 0) + damaged
    return SinkHealth(
        name=STORE,
        produced=sum(count.spans + count.damaged for count in own.values()) + totals.get("produced", 0),
        delivered=delivered + totals.get("delivered", 0),
        dropped=dropped,
        pending=sum(count.behind(offsets.get(name, 0)) for name, count in own.items()),
    )
