"""Every kind of child process: nothing lost, nothing sent twice from inherited state."""

from __future__ import annotations

from collections import Counter

import pytest
from helpers import run_program
from receiver import Receiver

from lucidic._export import Exporter


PROGRAM = """
    import multiprocessing
    from concurrent.futures import ProcessPoolExecutor
    from lucidic._export._exit import at_exit
    from lucidic._export._otlp import OTLPSink
    from lucidic._export._otlp_config import OTLPConfig

    made = {}
    def tracer():
        if "tracer" not in made:
            sink = OTLPSink(OTLPConfig(endpoint=sys.argv[2] + "/v1/traces", gzip=False))
            made["exporter"] = Exporter(home, sinks=[sink])
            at_exit(made["exporter"].shutdown)
            made["tracer"] = tracer_for(made["exporter"])
        return made["tracer"]

    def child(number=0):
        for _ in range(10):
            tracer().start_span("child").end()
        return number

    if __name__ == "__main__":
        for _ in range(10):
            tracer().start_span("parent").end()
        method, kind = sys.argv[3], sys.argv[4]
        if kind == "os.fork":
            for _ in range(2):
                if (pid := os.fork()) == 0:
                    child()
                    sys.exit(0) if method == "exit" else os._exit(0)
                os.waitpid(pid, 0)
        else:
            context = multiprocessing.get_context(method)
            if kind == "Process":
                children = [context.Process(target=child) for _ in range(2)]
                [one.start() for one in children]
                [one.join() for one in children]
            elif kind == "Pool.close":
                pool = context.Pool(2)
                pool.map(child, range(2), 1)
                pool.close()
                pool.join()
            elif kind == "Pool.terminate":
                with context.Pool(2) as pool:
                    pool.map(child, range(2), 1)
            else:
                with ProcessPoolExecutor(2, mp_context=context) as pool:
                    list(pool.map(child, range(2)))
        tracer().start_span("parent").end()
"""


def check(tmp_path, method: str, kind: str) -> None:
    """Run the program, let the next process deliver what is left, and count."""
    script = tmp_path / "program.py"
    with Receiver() as receiver:
        done = run_program(PROGRAM, tmp_path / "home", receiver.url, method, kind, script=script)
        assert 0 == done.returncode, done.stderr
        assert "Error" not in done.stderr, done.stderr
        exporter = Exporter(tmp_path / "home")
        exporter.store.catch_up()
        names = Counter(span.name for span in exporter.store.spans())
        assert {"parent": 11, "child": 20} == dict(names)
        store, otlp = exporter.health().sinks
        assert (31, 0, 0) == (store.delivered, store.pending, store.unexplained)
        assert 0 == otlp.unexplained
        assert 31 == otlp.delivered + otlp.pending
        assert len(receiver.accepted) == receiver.distinct == otlp.delivered
        exporter.store.close()


@pytest.mark.parametrize("method", ["exit", "_exit"])
def test_os_fork(tmp_path, method):
    """Children of ``os.fork`` deliver their own spans and none of the parent's."""
    check(tmp_path, method, "os.fork")


def test_forked_multiprocessing_child(tmp_path):
    """A forked child of multiprocessing delivers its own spans and none of the parent's."""
    check(tmp_path, "fork", "Process")


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["Process", "Pool.close", "Pool.terminate", "ProcessPoolExecutor"])
@pytest.mark.parametrize("method", ["fork", "forkserver", "spawn"])
def test_multiprocessing(tmp_path, method, kind):
    """Whichever way children start and end, every span arrives once."""
    check(tmp_path, method, kind)


def test_forking_warns_nobody_before_the_first_span(tmp_path):
    """An exporter that has seen no span has no thread, so that a fork is no reason for a warning."""
    source = """
        import warnings
        warnings.simplefilter("error")
        exporter = Exporter(home)
        pid = os.fork()
        if pid == 0:
            os._exit(0)
        os.waitpid(pid, 0)
        assert threading.active_count() == 1
    """
    done = run_program(source, tmp_path)
    assert 0 == done.returncode, done.stderr


def test_fork_while_threads_write(tmp_path):
    """Forks in the middle of other threads' writes tear nothing and repeat nothing."""
    source = """
        exporter = Exporter(home)
        tracer = tracer_for(exporter)
        stop = threading.Event()
        def work():
            while not stop.is_set():
                tracer.start_span("parent", attributes={"text": "x" * 2000}).end()
        threads = [threading.Thread(target=work) for _ in range(4)]
        [thread.start() for thread in threads]
        children = []
        for _ in range(10):
            pid = os.fork()
            if pid == 0:
                tracer.start_span("child").end()
                os._exit(0)
            children.append(pid)
        [os.waitpid(pid, 0) for pid in children]
        stop.set()
        [thread.join() for thread in threads]
        assert exporter.flush(30)
        health = exporter.health()
        print(health.produced)
        assert health.unexplained == 0, health
    """
    done = run_program(source, tmp_path)
    assert 0 == done.returncode, done.stderr
    exporter = Exporter(tmp_path)
    exporter.store.catch_up()
    names = Counter(span.name for span in exporter.store.spans())
    assert {"parent": int(done.stdout), "child": 10} == dict(names)
    (page,) = exporter.health().sinks
    assert ({}, 0) == (page.dropped, page.unexplained)
    exporter.store.close()


def test_threads_import_nothing(tmp_path):
    """No thread of ours imports a module: a child that is forked meanwhile would wait for it for ever."""
    source = """
        import lucidic as lai
        from lucidic import sinks
        seen = []
        class Finder:
            def find_spec(self, name, path=None, target=None):
                if threading.current_thread() is not threading.main_thread():
                    seen.append(name)
        os.environ["LUCIDIC_HOME"] = str(home)
        sys.meta_path.insert(0, Finder())
        lai.init("s")
        lai.add_sink(sinks.otlp(sys.argv[2].replace("127.0.0.1", "localhost")))
        lai.add_sink(sinks.JSONLinesSink(home / "spans.jsonl"))
        lai.create_step(state="a")
        lai.end_step()
        assert lai.flush(20)
        lai.shutdown(5)
        assert not seen, seen
    """
    with Receiver() as receiver:
        done = run_program(source, tmp_path, receiver.url)
        assert 0 == done.returncode, done.stderr
        assert receiver.accepted
