"""A process that is killed at each point where it could matter, and the next one."""

from __future__ import annotations

import signal

import pytest
import receiver as plan
from helpers import run_program
from receiver import Receiver

from lucidic._export import Exporter, ExportOptions, Store
from lucidic._export._failpoints import NAMES
from lucidic._export._otlp import OTLPSink
from lucidic._export._otlp_config import OTLPConfig


PRODUCE = """
    from lucidic._export._otlp import OTLPSink
    from lucidic._export._otlp_config import OTLPConfig
    produced = home / "produced"
    sinks = [OTLPSink(OTLPConfig(endpoint=sys.argv[2] + "/v1/traces", gzip=False))]
    options = ExportOptions(linger=0.01, poll=0.02, segment_bytes=4000, batch_spans=8, grace=0)
    exporter = Exporter(home, options=options, sinks=sinks)
    tracer = tracer_for(exporter)
    with produced.open("ab", buffering=0) as counter:
        for index in range(60):
            tracer.start_span(f"span-{index}").end()
            counter.write(b".")
            if index % 10 == 9:
                exporter.flush(5)
                exporter._drainer._next_round = 0
                exporter._drainer.keep()
"""


@pytest.mark.parametrize("occurrence", [1, pytest.param(3, marks=pytest.mark.slow)])
@pytest.mark.parametrize("point", NAMES)
def test_kill_at_every_point_loses_nothing(tmp_path, point, occurrence):
    """Killed at any point of the pipeline, every span whose end had returned is delivered by the next process."""
    with Receiver() as receiver:
        done = run_program(
            PRODUCE, tmp_path, receiver.url, environment={"LUCIDIC_FAILPOINT": f"{point}:{occurrence}"}
        )
        killed = done.returncode == -signal.SIGKILL
        assert killed or done.returncode == 0, done.stderr
        counted = tmp_path / "produced"
        returned = len(counted.read_bytes()) if counted.exists() else 0
        sink = OTLPSink(OTLPConfig(endpoint=f"{receiver.url}/v1/traces", gzip=False))
        exporter = Exporter(tmp_path, options=ExportOptions(poll=0.02), sinks=[sink])
        # First what was running is closed: that makes spans, too.
        exporter.store.catch_up()
        for worker in exporter._workers():
            worker.run_here(float("inf"))
        health = exporter.health()
        assert 0 == health.unexplained
        assert all(page.pending == 0 for page in health.sinks)
        names = {span.name for span in exporter.store.spans()}
        expected = {f"span-{index}" for index in range(returned)}
        # The span that was just being ended may be there or not, and as incomplete if it is not.
        assert expected <= names <= {*expected, f"span-{returned}"}
        assert expected <= set(receiver.names)
        assert len(receiver.accepted) - receiver.distinct <= 8
        exporter.store.close()


def test_two_processes_adopt_an_orphan_once(tmp_path):
    """Of processes that start together on what a dead one left, one delivers it, and each span arrives once."""
    run_program(
        """
        exporter = Exporter(home, options=ExportOptions(linger=60))
        tracer = tracer_for(exporter)
        running = tracer.start_span("running")
        for index in range(50):
            tracer.start_span("done").end()
        os._exit(0)
        """,
        tmp_path,
    )
    adopt = """
        import multiprocessing
        def adopt(barrier):
            store = Store(home)
            barrier.wait(20)
            store.catch_up()
        if __name__ == "__main__":
            context = multiprocessing.get_context("fork")
            barrier = context.Barrier(4)
            children = [context.Process(target=adopt, args=(barrier,)) for _ in range(4)]
            for child in children:
                child.start()
            for child in children:
                child.join()
            assert [0] * 4 == [child.exitcode for child in children]
    """
    done = run_program(adopt, tmp_path)
    assert 0 == done.returncode, done.stderr
    store = Store(tmp_path)
    store.catch_up()
    spans = store.spans()
    assert 51 == len(spans)
    assert 51 == sum(position.delivered for position in store.positions().values())
    store.close()


def test_resent_spans_have_the_same_bytes(tmp_path):
    """What is sent again after an answer was lost has the ids it had before."""
    with Receiver(plan.reset_after) as receiver:
        sink = OTLPSink(OTLPConfig(endpoint=f"{receiver.url}/v1/traces", gzip=False))
        exporter = Exporter(tmp_path, options=ExportOptions(store=False, poll=0.02), sinks=[sink])
        from helpers import tracer_for

        tracer_for(exporter).start_span("s").end()
        assert exporter.flush(20)
        assert 2 == len(receiver.accepted)
        assert 1 == receiver.distinct
        exporter.shutdown(5)
