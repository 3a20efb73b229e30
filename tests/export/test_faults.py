"""What programs do to themselves: interrupts, re-entry, exec, other users and roots, clocks, bursts."""

from __future__ import annotations

import gzip
import os
import signal

import pytest
import receiver as plan
from helpers import run_program, tracer_for
from receiver import Receiver

from lucidic._export import Exporter, ExportOptions, Store
from lucidic._export import _segment as segment_module
from lucidic._export._otlp import OTLPSink
from lucidic._export._otlp_config import OTLPConfig


SETUP = """
    from lucidic._export._exit import at_exit
    signal.signal(signal.SIGINT, signal.default_int_handler)
    exporter = Exporter(home)
    at_exit(exporter.shutdown)
    tracer = tracer_for(exporter)
    def end(count=30):
        for _ in range(count):
            tracer.start_span("s").end()
    end()
"""
AS_ROOT = pytest.mark.skipif(os.geteuid() != 0, reason="Only root can change the user or the root folder.")


def recovered(home) -> int:
    """Count what the next process finds; the books must balance."""
    exporter = Exporter(home)
    exporter.store.catch_up()
    found = len(exporter.store.spans())
    assert 0 == exporter.health().unexplained
    exporter.store.close()
    return found


@pytest.mark.parametrize(
    "waiting",
    [
        "asyncio.run(asyncio.sleep(20))",
        "time.sleep(20)",
        "threading.Event().wait(20)",
    ],
    ids=["asyncio", "C call", "lock"],
)
def test_interrupt_is_one_interrupt(tmp_path, waiting):
    """Ctrl-C in a coroutine, in a C function or at a lock is one KeyboardInterrupt, and costs no span."""
    source = f"""
    import asyncio
    threading.Timer(0.3, os.kill, (os.getpid(), signal.SIGINT)).start()
    {waiting}
    """
    done = run_program(SETUP + source, tmp_path)
    assert -signal.SIGINT == done.returncode, done.stderr
    assert 1 == done.stderr.count("\nKeyboardInterrupt")
    assert 30 == recovered(tmp_path)


def test_thread_that_exits(tmp_path):
    """``sys.exit`` in a thread ends that thread and no span's delivery."""
    source = """
    def work():
        end(20)
        sys.exit(3)
    thread = threading.Thread(target=work)
    thread.start()
    """
    done = run_program(SETUP + source, tmp_path)
    assert (0, "") == (done.returncode, done.stderr)
    store = Store(tmp_path)
    assert 50 == len(store.spans())
    store.close()


def test_signals_that_end_spans_all_the_time(tmp_path):
    """A handler that ends spans, between any two steps of the program that ends some too, never blocks it."""
    source = """
    handled = []
    def handler(number, frame):
        tracer.start_span("handled").end()
        handled.append(1)
    signal.signal(signal.SIGALRM, handler)
    signal.setitimer(signal.ITIMER_REAL, 0.0005, 0.0005)
    while len(handled) < 300:
        end(10)
    signal.setitimer(signal.ITIMER_REAL, 0)
    assert exporter.flush(30)
    names = [span.name for span in exporter.store.spans()]
    assert len(handled) == names.count("handled")
    health = exporter.health()
    assert len(names) == health.produced and not health.unexplained, health
    """
    done = run_program(SETUP + source, tmp_path)
    assert 0 == done.returncode, done.stderr


def test_collector_ends_spans_in_forked_children(tmp_path):
    """Finalizers that end spans while a forked child begins, writes and ends lose nothing and block nothing."""
    source = """
    import gc
    gc.set_threshold(20)
    class Holder:
        def __init__(self):
            self.span, self.me = tracer.start_span("held"), self
        def __del__(self):
            self.span.end()
    for _ in range(4):
        if (pid := os.fork()) == 0:
            for _ in range(25):
                Holder()
                end(1)
            gc.collect()
            assert exporter.flush(20)
            assert not exporter.health().unexplained
            os._exit(0)
        _pid, status = os.waitpid(pid, 0)
        assert 0 == status
    """
    done = run_program(SETUP + source, tmp_path)
    assert 0 == done.returncode, done.stderr
    assert 30 + 4 * 50 == recovered(tmp_path)


def test_program_that_replaces_itself(tmp_path):
    """What a process ended before ``exec`` is delivered by the program that it became."""
    source = """
    if len(sys.argv) == 2:
        os.execv(sys.executable, [sys.executable, str(home / "program.py"), str(home), "again"])
    assert exporter.flush(20)
    assert 60 == len(exporter.store.spans())
    """
    done = run_program(SETUP + source, tmp_path, script=tmp_path / "program.py")
    assert 0 == done.returncode, done.stderr
    assert 60 == recovered(tmp_path)


@AS_ROOT
@pytest.mark.parametrize("change", ["os.setuid(65534)", "os.chroot(home / 'jail')"], ids=["user", "root"])
def test_process_that_gives_up_its_rights(tmp_path, change):
    """A process that becomes another user, or moves into a root of its own, keeps what it ends before and after."""
    source = f"""
    (home / "jail").mkdir()
    assert exporter.flush(20)
    {change}
    end()
    assert not exporter.health().unexplained
    os._exit(0)
    """
    done = run_program(SETUP + source, tmp_path)
    assert 0 == done.returncode, done.stderr
    assert 60 == recovered(tmp_path)


def test_clock_that_is_set_back(tmp_path, monkeypatch):
    """When the clock jumps back by a day every span is delivered, in new segments too, and nobody counts as dead."""
    real, offset = segment_module.time.time_ns, [0]
    monkeypatch.setattr(segment_module.time, "time_ns", lambda: real() - offset[0])
    exporter = Exporter(tmp_path, options=ExportOptions(fsync_window=0, segment_bytes=2000))
    tracer = tracer_for(exporter)
    running = tracer.start_span("running")
    for jump in (0, 86_400, -86_400, 3600):
        offset[0] += jump * 10**9
        for _ in range(20):
            tracer.start_span("s").end()
        assert exporter.flush(20)
        exporter._drainer._next_round = 0
        exporter._drainer.keep()
    running.end()
    assert exporter.shutdown(10)
    assert 81 == len(exporter.store.spans())
    assert not any("lucidic.incomplete" in span.attributes for span in exporter.store.spans())
    assert 0 == exporter.health().unexplained
    exporter.store.close()


@pytest.mark.parametrize("size", [1 << 10, 1 << 26], ids=["small", "bomb"])
def test_compressed_answers_are_read_up_to_a_limit(tmp_path, size):
    """An answer that grows without end when it is unpacked costs no memory and pauses the sink, not the program."""
    body = gzip.compress(b"\0" * size)

    def bomb(handler) -> None:
        handler.answer(200, body, content_encoding="gzip")

    with Receiver() as receiver:
        receiver.always = bomb
        sink = OTLPSink(OTLPConfig(endpoint=f"{receiver.url}/v1/traces", gzip=False))
        exporter = Exporter(tmp_path, options=ExportOptions(store=False, fsync_window=0), sinks=[sink])
        tracer_for(exporter).start_span("s").end()
        assert not exporter.flush(10)
        assert "paused" == exporter.health().sinks[0].state
        receiver.always = plan.ok
        assert exporter.flush(10)
        assert 1 == len(receiver.accepted)
        exporter.shutdown(5)
        assert 0 == exporter.health().unexplained


def test_backend_that_is_down_at_first(tmp_path):
    """Spans that end while nobody listens arrive, once each, when somebody does."""
    with Receiver() as receiver:
        address = ("127.0.0.1", receiver.port)
    sink = OTLPSink(OTLPConfig(endpoint=f"http://127.0.0.1:{address[1]}/v1/traces", gzip=False))
    exporter = Exporter(tmp_path, options=ExportOptions(store=False, fsync_window=0), sinks=[sink])
    tracer = tracer_for(exporter)
    for _ in range(1000):
        tracer.start_span("s").end()
    assert not exporter.flush(0.3)
    assert (1000, "retrying") == (exporter.health().sinks[0].pending, exporter.health().sinks[0].state)
    with Receiver(plan.ok, address=address) as receiver:
        assert exporter.flush(30)
        assert 1000 == receiver.distinct == len(receiver.accepted)
    exporter.shutdown(5)
    assert 0 == exporter.health().unexplained


@pytest.mark.slow
def test_burst_of_many_threads_and_tasks(tmp_path):
    """Of 100,000 spans that threads and tasks end as fast as they can none is lost, and the memory stays bounded."""
    source = """
    import asyncio, resource
    from lucidic._export._otlp import OTLPSink
    from lucidic._export._otlp_config import OTLPConfig
    exporter.add_sink(OTLPSink(OTLPConfig(endpoint=sys.argv[2] + "/v1/traces", gzip=False)))
    assert exporter.flush(30)
    def most():
        return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    before = most()
    async def tasks():
        async def one():
            for _ in range(625):
                end(10)
                await asyncio.sleep(0)
        await asyncio.gather(*(one() for _ in range(8)))
    threads = [threading.Thread(target=end, args=(6250,)) for _ in range(8)]
    for thread in threads:
        thread.start()
    asyncio.run(tasks())
    for thread in threads:
        thread.join()
    health = exporter.health()
    assert health.produced == health.written == 100_030, health
    assert exporter.flush(100)
    health = exporter.health()
    assert not health.unexplained and all(page.pending == 0 for page in health.sinks), health
    assert most() - before < 60, (before, most())
    """
    with Receiver() as receiver:
        done = run_program(SETUP + source, tmp_path, receiver.url, timeout=110)
        assert 0 == done.returncode, done.stderr
        assert 100_000 == receiver.distinct
    assert 100_030 == recovered(tmp_path)
