"""Unusual spans, a store that is busy, and live listeners."""

from __future__ import annotations

import asyncio
import sqlite3
import threading
import time

import pytest
from helpers import tracer_for

from lucidic._export import Exporter, ExportOptions
from lucidic._export import _segment as segment_module
from lucidic._export._listeners import LISTENER_SPANS
from lucidic._export._segment import owner_alive, owner_key


@pytest.mark.parametrize(
    "attributes",
    [
        {"text": "lone \ud800 surrogate", "\udfff": "key"},
        {"nan": float("nan"), "inf": float("-inf")},
        {"raw": b"\x00\xff", "none": None, "big": 2**80, "small": -(2**80)},
        {"nested": {"a": [1, {"b": (None, True)}]}, "mixed": [1, "a", 2.5]},
        {f"key-{index}": index for index in range(1000)},
        {"object": object(), "set": {1}},
    ],
    ids=["surrogates", "floats", "edges", "nested", "many", "objects"],
)
def test_unusual_attributes_arrive(exporter, attributes):
    """Whatever a span's attributes hold, the span arrives, and nothing is raised."""
    tracer = tracer_for(exporter)
    span = tracer.start_span("s")
    # Past the SDK's own cleaning, as a processor of somebody else's may put it.
    span._attributes._dict.update(attributes)
    span.end()
    assert exporter.flush(10)
    (found,) = exporter.store.spans()
    assert len(attributes) == len(found.attributes)


def test_too_large_span_is_cut_and_says_so(exporter):
    """A span beyond the limit keeps its ids and the beginning of its values, and carries a mark."""
    tracer = tracer_for(exporter)
    tracer.start_span("s", attributes={"lucidic.session_id": "s", "text": "x" * 20_000_000}).end()
    assert exporter.flush(10)
    (span,) = exporter.store.spans("s")
    assert span.attributes["lucidic.truncated"] is True
    assert 65_537 == len(span.attributes["text"])


def test_too_many_events_leave_the_span(tmp_path):
    """A span that cannot be made small by cutting values still arrives with its ids and name."""
    exporter = Exporter(tmp_path, options=ExportOptions(span_bytes=2000, fsync_window=0))
    span = tracer_for(exporter).start_span("s", attributes={"lucidic.session_id": "s"})
    for index in range(100):
        span.add_event(f"event-{index}", {"text": "x" * 100})
    span.end()
    assert exporter.flush(10)
    (found,) = exporter.store.spans("s")
    assert ("s", True) == (found.name, found.attributes["lucidic.truncated"])
    exporter.shutdown(5)
    exporter.store.close()


def test_locked_store_holds_nobody_up(exporter):
    """While another program locks the database spans are kept, flush says False in time, and then they arrive."""
    tracer = tracer_for(exporter)
    tracer.start_span("before").end()
    assert exporter.flush(10)
    other = sqlite3.connect(exporter.store.path, isolation_level=None)
    other.execute("BEGIN IMMEDIATE")
    tracer.start_span("meanwhile").end()
    started = time.monotonic()
    assert not exporter.flush(0.2)
    assert time.monotonic() - started < 2
    other.execute("ROLLBACK")
    other.close()
    deadline = time.monotonic() + 20
    while not exporter.flush(5) and time.monotonic() < deadline:
        exporter._progress.wait(0.1)
    assert 2 == len(exporter.store.spans())


def test_deleted_store_is_filled_again(exporter):
    """When the database is deleted while the program runs, a new one gets what the journal still holds."""
    tracer = tracer_for(exporter)
    tracer.start_span("a").end()
    assert exporter.flush(10)
    for path in exporter.home.glob("store.db*"):
        path.unlink()
    tracer.start_span("b").end()
    assert exporter.flush(10)
    assert {"a", "b"} == {span.name for span in exporter.store.spans()}


def test_disk_is_asked_to_keep_within_the_window(tmp_path, monkeypatch):
    """After spans were written the disk is asked to keep them, without anybody flushing; 0 never asks."""
    asked = threading.Event()
    monkeypatch.setattr(segment_module.os, "fdatasync", lambda _fd: asked.set())
    exporter = Exporter(tmp_path / "a", options=ExportOptions(store=False, linger=0.01))
    tracer_for(exporter).start_span("s").end()
    assert asked.wait(10)
    exporter.shutdown(5)
    asked.clear()
    never = Exporter(tmp_path / "b", options=ExportOptions(store=False, linger=0.01, fsync_window=0))
    tracer_for(never).start_span("s").end()
    never._drainer.keep()
    never.shutdown(5)
    assert not asked.is_set()


def test_reused_process_id_is_another_owner(monkeypatch):
    """A process that has the id of a dead one is not taken for it."""
    mine = owner_key(segment_module.os.getpid())
    assert owner_alive(mine)
    host, pid, _started = mine.split("-")
    assert not owner_alive(f"{host}-{pid}-1")
    assert not owner_alive(f"0000000000-{pid}-{_started}")


def test_slow_listener_is_told_what_it_missed(exporter):
    """A listener that does not keep up misses spans, counts them, and the program is not slowed."""
    tracer = tracer_for(exporter)
    with exporter.listen() as listener:
        for _ in range(LISTENER_SPANS + 10):
            tracer.start_span("s").end()
    assert 10 == listener.missed
    assert LISTENER_SPANS == sum(1 for _ in listener)
    assert exporter.flush(30)


async def test_listener_is_an_async_iterator(exporter):
    """Spans that end in a thread reach a coroutine that listens."""
    tracer = tracer_for(exporter)
    listener = exporter.listen()

    def work() -> None:
        for name in ("a", "b", "c"):
            tracer.start_span(name).end()
        listener.close()

    thread = asyncio.to_thread(work)
    task = asyncio.ensure_future(thread)
    names = [span.name async for span in listener]
    await task
    assert ["a", "b", "c"] == names


def test_second_exporter_after_a_shutdown(tmp_path):
    """A process may shut its exporter down and make a new one, as often as it likes."""
    for round_ in range(3):
        exporter = Exporter(tmp_path, options=ExportOptions(fsync_window=0))
        tracer_for(exporter).start_span(f"round-{round_}").end()
        assert exporter.shutdown(10)
        assert exporter.shutdown(10)
        assert round_ + 1 == len(exporter.store.spans())
        exporter.store.close()


def test_one_budget_for_all_sinks(tmp_path):
    """Several sinks that hang share one budget at the exit."""

    class Hanging:
        def __init__(self, name: str) -> None:
            self.name = name

        def deliver(self, batch, timeout):
            release.wait(20)
            raise OSError("hung")

        def close(self) -> None:
            return

    release = threading.Event()
    exporter = Exporter(
        tmp_path,
        options=ExportOptions(store=False, linger=0.0),
        sinks=[Hanging("one"), Hanging("two"), Hanging("three")],
    )
    tracer_for(exporter).start_span("s").end()
    started = time.monotonic()
    assert not exporter.shutdown(0.3)
    assert time.monotonic() - started < 1.5
    release.set()
