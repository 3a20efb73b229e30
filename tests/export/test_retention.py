"""What is deleted, when, and how it is counted."""

from __future__ import annotations

import pytest
from helpers import tracer_for

from lucidic._export import Exporter, ExportOptions
from lucidic._export._health import read_books
from lucidic._export._retention import read_tombstones, sweep
from lucidic._export._sink import Outcome


HOUR = 3600 * 10**9


class Deaf:
    """A sink that never takes anything."""

    name = "deaf"

    def deliver(self, batch, timeout):
        return Outcome(answer="retry", note="deaf")

    def close(self) -> None:
        return


@pytest.fixture
def filled(tmp_path):
    """Make an exporter that has written many segments; at the end its books must balance."""
    made = []

    def fill(sinks=(), **settings) -> Exporter:
        options = ExportOptions(fsync_window=0, segment_bytes=4000, **settings)
        exporter = Exporter(tmp_path, options=options, sinks=sinks)
        exporter._drainer.wake = lambda: None
        tracer = tracer_for(exporter)
        for index in range(40):
            tracer.start_span(f"span-{index}", attributes={"text": "x" * 300}).end()
        made.append(exporter)
        return exporter

    yield fill
    for exporter in made:
        exporter.shutdown(0.2)
        assert 0 == exporter.health().unexplained
        exporter.store.close()


def swept(exporter: Exporter, now_ns: int | None = None) -> int:
    """Sweep and return how many segments are left."""
    spool = exporter.journal.folder
    sweep(spool, exporter.census.take(), read_books(exporter), exporter.options, now_ns)
    return len(exporter.census.take())


def now(exporter: Exporter, later: float = 0.0) -> int:
    import time

    return time.time_ns() + int(later * 1e9)


def test_delivered_segments_stay_for_the_grace_time(filled):
    """A segment that every sink has goes when its grace time is over, and not before."""
    exporter = filled(grace=60.0)
    exporter.store.catch_up()
    before = len(exporter.census.take())
    assert before > 3
    assert before == swept(exporter)
    assert 1 == swept(exporter, now(exporter, 61))
    exporter.store.fold()
    (page,) = exporter.health().sinks
    assert (40, 40, 0) == (page.produced, page.delivered, page.unexplained)
    assert 40 == len(exporter.store.spans())


def test_segment_that_one_sink_lacks_stays(filled):
    """A segment is kept as long as one of its sinks has not taken it."""
    exporter = filled(sinks=[Deaf()], grace=0.0)
    exporter.store.catch_up()
    before = len(exporter.census.take())
    assert before == swept(exporter, now(exporter, 3600))


def test_full_spool_drops_the_oldest_and_counts_them(filled):
    """Beyond the cap the oldest segments go first; what a sink did not have is dropped with the reason."""
    exporter = filled(sinks=[Deaf()], spool_bytes=12_000)
    exporter.store.catch_up()
    names = sorted(exporter.census.take())
    left = swept(exporter)
    assert left < len(names)
    assert names[-left:] == sorted(exporter.census.take())
    store, deaf = exporter.health().sinks
    assert (40, {}, 0) == (store.delivered, store.dropped, store.unexplained)
    assert deaf.dropped["spool_full"] > 0
    assert 40 == deaf.pending + deaf.dropped["spool_full"]
    assert 0 == deaf.unexplained


def test_delivered_segments_go_before_undelivered_ones(filled):
    """A full spool gives up what every sink has before anything that one still needs."""
    exporter = filled(spool_bytes=1, grace=3600.0)
    exporter.store.catch_up()
    assert 1 == swept(exporter)
    assert [] == read_tombstones(exporter.journal.folder)


def test_old_segments_are_dropped_and_counted(filled):
    """What no sink has taken within the longest time is dropped with that reason; tombstones end the same way."""
    exporter = filled(sinks=[Deaf()], spool_age=100.0)
    swept(exporter, now(exporter, 101))
    deaf = exporter.health().sinks[1]
    assert deaf.dropped["too_old"] > 0
    assert 0 == deaf.unexplained
    swept(exporter, now(exporter, 300))
    assert [] == read_tombstones(exporter.journal.folder)


def test_open_segments_are_never_deleted(filled):
    """The segment that a living process writes to stays, however full and old."""
    exporter = filled(spool_bytes=1, spool_age=0.0)
    current = exporter.journal.segment.name
    swept(exporter, now(exporter, 10**6))
    assert [current] == sorted(exporter.census.take())
