"""When the disk fails: full, read-only, gone, damaged."""

from __future__ import annotations

import errno
import os
import shutil

import pytest
from helpers import run_program, tracer_for

from lucidic._export import Exporter, ExportOptions, Store
from lucidic._export import _segment as segment_module


@pytest.mark.parametrize("code", [errno.ENOSPC, errno.EDQUOT, errno.EROFS, errno.EIO])
def test_failing_disk_keeps_spans_in_memory_and_recovers(exporter, disk, code):
    """While the disk refuses writes spans wait in memory, health says so, and later all are delivered."""
    tracer = tracer_for(exporter)
    tracer.start_span("before").end()
    assert exporter.flush(10)
    disk.error = code
    for _ in range(3):
        tracer.start_span("meanwhile").end()
    health = exporter.health()
    assert health.memory_spans == 3
    assert os.strerror(code) in health.failure
    assert 0 == health.unexplained
    assert not exporter.flush(0.1)
    disk.error = None
    tracer.start_span("after").end()
    assert exporter.flush(10)
    health = exporter.health()
    assert (None, 0) == (health.failure, health.memory_spans)
    assert 5 == len(exporter.store.spans())


def test_memory_is_bounded_and_counts_what_it_drops(tmp_path, disk):
    """What the memory has no room for is dropped, the oldest first, and counted."""
    exporter = Exporter(tmp_path, options=ExportOptions(memory_bytes=10_000, fsync_window=0))
    tracer = tracer_for(exporter)
    disk.error = errno.ENOSPC
    for index in range(50):
        tracer.start_span(f"span-{index}", attributes={"text": "x" * 500}).end()
    health = exporter.health()
    assert health.memory_bytes <= 10_000
    assert 50 == health.memory_spans + health.dropped["memory_full"]
    assert 0 == health.unexplained
    disk.error = None
    assert not exporter.flush(10), "a flush after a loss is not true"
    assert exporter.flush(10)
    names = {span.name for span in exporter.store.spans()}
    assert "span-49" in names
    assert "span-0" not in names
    exporter.shutdown(5)
    exporter.store.close()


def test_short_write_costs_nothing(exporter, monkeypatch):
    """A record that was only written in part is passed over by readers and written again as a whole."""
    real, tracer = os.write, tracer_for(exporter)
    tracer.start_span("first").end()
    cut = iter([True])
    monkeypatch.setattr(
        segment_module.os,
        "write",
        lambda fd, data: real(fd, data[:30]) if next(cut, False) else real(fd, data),
    )
    tracer.start_span("second").end()
    tracer.start_span("third").end()
    assert exporter.flush(10)
    assert {"first", "second", "third"} == {span.name for span in exporter.store.spans()}


def test_deleted_spool_is_written_again(exporter):
    """When the folder is deleted while the program runs, what it held is written to a new one."""
    tracer = tracer_for(exporter)
    for index in range(10):
        tracer.start_span(f"span-{index}").end()
    assert exporter.flush(10)
    shutil.rmtree(exporter.home)
    tracer.start_span("last").end()
    exporter._drainer.keep()
    assert exporter.flush(10)
    assert 11 == len(exporter.store.spans())


def test_file_size_limit_is_survived(tmp_path):
    """A process that may write no larger files keeps its spans, counts what it cannot keep, and never raises."""
    source = """
        import resource, signal
        signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
        resource.setrlimit(resource.RLIMIT_FSIZE, (200_000, 200_000))
        exporter = Exporter(home, options=ExportOptions(store=False, segment_bytes=10_000_000))
        tracer = tracer_for(exporter)
        for _ in range(300):
            tracer.start_span("s", attributes={"text": "x" * 1000}).end()
        exporter.journal.retry()
        health = exporter.health()
        assert health.unexplained == 0, health
        assert health.written + health.memory_spans == 300, health
    """
    done = run_program(source, tmp_path)
    assert 0 == done.returncode, done.stderr


def test_corrupt_store_is_set_aside_and_filled_again(exporter, tmp_path, caplog):
    """A database that is no database is kept under another name, and the journal fills a new one."""
    tracer = tracer_for(exporter)
    tracer.start_span("s").end()
    assert exporter.flush(10)
    exporter.shutdown(5)
    exporter.store.close()
    for left in tmp_path.glob("store.db*"):
        left.unlink()
    (tmp_path / "store.db").write_bytes(b"no database " * 1000)
    with pytest.raises(Exception, match="cannot be used"):
        exporter.store.catch_up()
    store = Store(tmp_path)
    store.catch_up()
    assert ["s"] == [span.name for span in store.spans()]
    assert 1 == len(list(tmp_path.glob("store.db.*.corrupt")))
    assert any("was corrupt" in record.message for record in caplog.records)
    store.close()


def test_unwritable_home_never_reaches_the_caller(tmp_path):
    """An exporter whose home is a file keeps its spans in memory and says why."""
    home = tmp_path / "home"
    home.write_text("not a folder")
    exporter = Exporter(home, options=ExportOptions(store=False))
    tracer = tracer_for(exporter)
    tracer.start_span("s").end()
    assert not exporter.flush(0.1)
    health = exporter.health()
    assert 1 == health.memory_spans
    assert health.failure
    assert 0 == health.unexplained
    assert not exporter.shutdown(0.1)
