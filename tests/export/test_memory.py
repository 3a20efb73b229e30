"""Spans that the disk does not take reach the remote sinks from memory, once each."""

from __future__ import annotations

import errno
import os
import subprocess
import threading

import pytest
import receiver as plan
from helpers import run_program, tracer_for
from receiver import Receiver

from lucidic._export import Exporter, ExportOptions, Store
from lucidic._export._otlp import OTLPSink
from lucidic._export._otlp_config import OTLPConfig


def otlp(receiver) -> OTLPSink:
    return OTLPSink(OTLPConfig(endpoint=f"{receiver.url}/v1/traces", gzip=False))


@pytest.fixture
def connect(tmp_path):
    """Make an exporter that delivers to a receiver and to nothing else, or to the store as well."""
    made = []

    def make(receiver, **options) -> Exporter:
        chosen = ExportOptions(**{"store": False, "fsync_window": 0, "linger": 0.01, **options})
        exporter = Exporter(tmp_path, options=chosen, sinks=[otlp(receiver)])
        made.append(exporter)
        return exporter

    yield make
    for exporter in made:
        exporter.shutdown(5)
        assert 0 == exporter.health().unexplained
        if exporter.store is not None:
            exporter.store.close()


def names(count: int, word: str = "span") -> list[str]:
    return [f"{word}-{index}" for index in range(count)]


def end(tracer, spans: list[str]) -> None:
    for name in spans:
        tracer.start_span(name).end()


@pytest.mark.parametrize("code", [errno.ENOSPC, errno.EDQUOT, errno.EROFS, errno.EIO])
def test_remote_sink_has_everything_without_a_disk(connect, disk, code):
    """What the disk refuses arrives at the endpoint all the same, and a flush is then true."""
    with Receiver() as receiver:
        exporter = connect(receiver)
        tracer = tracer_for(exporter)
        end(tracer, names(3, "before"))
        assert exporter.flush(10)
        disk.error = code
        end(tracer, names(700, "meanwhile"))
        assert exporter.flush(10)
        health = exporter.health()
        (page,) = health.sinks
        assert (703, 3, 700, 0) == (health.produced, health.written, health.passed, health.memory_spans)
        assert (703, 703, 0) == (page.produced, page.delivered, page.pending)
        assert os.strerror(code) in health.failure
        disk.error = None
        end(tracer, names(3, "after"))
        assert exporter.flush(10)
        assert exporter.health().failure is None
        assert 706 == len(receiver.accepted) == receiver.distinct


def test_store_gets_from_memory_what_the_endpoint_has_already(connect, disk):
    """When the disk is back the store gets what it lacks, and the endpoint nothing twice."""
    with Receiver() as receiver:
        exporter = connect(receiver, store=True)
        tracer = tracer_for(exporter)
        end(tracer, ["before"])
        assert exporter.flush(10)
        disk.error = errno.ENOSPC
        end(tracer, names(5))
        assert not exporter.flush(10), "the store cannot have them"
        assert [5, 0] == [page.pending for page in exporter.health().sinks]
        receiver.always = plan.status(503)
        end(tracer, names(3, "refused"))
        assert not exporter.flush(0.2)
        assert 8 == exporter.health().memory_spans
        disk.error, receiver.always = None, plan.ok
        end(tracer, ["after"])
        assert exporter.flush(20)
        everything = ["before", *names(5), *names(3, "refused"), "after"]
        assert sorted(everything) == sorted(receiver.names)
        assert sorted(everything) == sorted(span.name for span in exporter.store.spans())
        health = exporter.health()
        assert [(10, 10), (10, 10)] == [(page.produced, page.delivered) for page in health.sinks]
        assert (10, 0, 0) == (health.written, health.memory_spans, health.unexplained)


def test_disk_returns_while_a_sink_is_being_given_spans(connect, disk):
    """Spans that are under way from memory when the disk returns are delivered once, and stored."""
    with Receiver(plan.ok) as receiver:
        exporter = connect(receiver, store=True)
        tracer = tracer_for(exporter)
        end(tracer, ["before"])
        assert exporter.flush(10)
        held = threading.Event()

        def hold(handler) -> None:
            held.set()
            receiver.release.wait(20)
            plan.ok(handler)

        receiver.always = hold
        disk.error = errno.ENOSPC
        end(tracer, ["under way"])
        assert held.wait(10)
        disk.error = None
        end(tracer, ["after"])
        assert not exporter.journal.retry()
        receiver.release.set()
        assert exporter.flush(20)
        assert ["after", "before", "under way"] == sorted(receiver.names)
        assert ["after", "before", "under way"] == sorted(span.name for span in exporter.store.spans())


def test_span_that_passed_is_not_taken_for_a_running_one(tmp_path):
    """A span that started on the disk and ended without it is not closed as terminated after a crash."""
    source = """
        import errno
        from lucidic._export import _segment
        from lucidic._export._otlp import OTLPSink
        from lucidic._export._otlp_config import OTLPConfig
        sink = OTLPSink(OTLPConfig(endpoint=sys.argv[2] + "/v1/traces", gzip=False))
        exporter = Exporter(home, options=ExportOptions(store=False, linger=0.01), sinks=[sink])
        tracer = tracer_for(exporter)
        span, running = tracer.start_span("passed"), tracer.start_span("running")
        real, broken = os.write, [True]
        def write(fd, data):
            if broken:
                raise OSError(errno.ENOSPC, "full")
            return real(fd, data)
        _segment.os.write = write
        span.end()
        assert exporter.flush(10)
        broken.clear()
        assert exporter.journal.retry(20)
        os._exit(0)
    """
    with Receiver() as receiver:
        done = run_program(source, tmp_path, receiver.url)
        assert 0 == done.returncode, done.stderr
        Store(tmp_path).catch_up()
        exporter = Exporter(tmp_path, options=ExportOptions(store=False), sinks=[otlp(receiver)])
        for worker in exporter._workers():
            worker.run_here(float("inf"))
        assert ["passed", "running"] == sorted(receiver.names)
        assert 0 == exporter.health().unexplained


def test_home_that_cannot_be_made_costs_no_span(tmp_path, caplog):
    """With a home that is no folder the endpoint gets everything, and the exit names the trouble once."""
    home = tmp_path / "home"
    home.write_text("a file")
    with Receiver() as receiver:
        exporter = Exporter(home, options=ExportOptions(store=False, linger=0.01), sinks=[otlp(receiver)])
        end(tracer_for(exporter), names(20))
        assert exporter.shutdown(10)
        health = exporter.health()
        assert (20, 20, 0, 0) == (health.produced, health.passed, health.memory_spans, health.unexplained)
        assert names(20) == receiver.names
    said = [record.getMessage() for record in caplog.records]
    assert 1 == sum("cannot be written" in line and "Not everything" in line for line in said)
    assert not any("does not take spans" in line for line in said), "the sink is not to blame"


def test_poison_is_isolated_without_a_disk(connect, disk):
    """A span that the endpoint refuses is counted as rejected where nothing can be kept aside; others arrive."""
    with Receiver() as receiver:
        exporter = connect(receiver)
        tracer = tracer_for(exporter)
        end(tracer, ["before"])
        assert exporter.flush(10)
        receiver.always = plan.refusing("poison")
        disk.error = errno.ENOSPC
        end(tracer, [*names(4), "poison", *names(4, "more")])
        assert exporter.flush(10)
        (page,) = exporter.health().sinks
        assert (10, 9, 1) == (page.produced, page.delivered, page.rejected)
        assert 9 == receiver.distinct == len(receiver.accepted)


FULL = """
    from lucidic._export._otlp import OTLPSink
    from lucidic._export._otlp_config import OTLPConfig
    sink = OTLPSink(OTLPConfig(endpoint=sys.argv[2] + "/v1/traces", gzip=False))
    exporter = Exporter(home / "state", options=ExportOptions(store=False, linger=0.01), sinks=[sink])
    tracer = tracer_for(exporter)
    tracer.start_span("first").end()
    assert exporter.flush(10)
"""


def test_file_system_that_is_full(tmp_path):
    """On a file system that runs full every span arrives, and when there is room again it is used."""
    volume = tmp_path / "volume"
    volume.mkdir()
    mounted = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=256k", "tmpfs", str(volume)], capture_output=True, check=False
    )
    if mounted.returncode:
        pytest.skip("This user cannot mount a file system of a limited size.")
    try:
        with Receiver() as receiver:
            source = (
                FULL
                + """
    ballast = home / "ballast"
    with ballast.open("wb") as file:
        file.write(bytes(100_000))
    for _ in range(400):
        tracer.start_span("s", attributes={"text": "x" * 2000}).end()
    assert exporter.flush(20), exporter.health()
    health = exporter.health()
    assert health.failure and health.passed and not health.unexplained, health
    assert health.written + health.passed == 401, health
    ballast.unlink()
    assert exporter.journal.retry(20), exporter.health()
    tracer.start_span("last").end()
    assert exporter.flush(20)
    health = exporter.health()
    assert health.failure is None and not health.unexplained, health
            """
            )
            done = run_program(source, volume, receiver.url)
            assert 0 == done.returncode, done.stderr
            assert 402 == receiver.distinct
    finally:
        subprocess.run(["umount", str(volume)], check=True)


def test_process_without_a_free_descriptor(tmp_path):
    """A process that may open no more files keeps its spans and delivers them when it may again."""
    with Receiver() as receiver:
        source = (
            FULL
            + """
    import resource
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    sink.close()
    exporter.journal._options = ExportOptions(store=False, segment_bytes=1)
    taken = [os.open(os.devnull, os.O_RDONLY)]
    resource.setrlimit(resource.RLIMIT_NOFILE, (taken[0] + 1, hard))
    for _ in range(50):
        tracer.start_span("s").end()
    health = exporter.health()
    assert "Too many open files" in health.failure, health
    assert health.produced == 51, health
    resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
    assert exporter.flush(20), exporter.health()
    health = exporter.health()
    assert health.failure is None and not health.unexplained, health
        """
        )
        done = run_program(source, tmp_path, receiver.url)
        assert 0 == done.returncode, done.stderr
        assert 51 == receiver.distinct
