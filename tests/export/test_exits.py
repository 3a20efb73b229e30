"""Every way in which a process can end."""

from __future__ import annotations

import gc
import signal
import threading
import time
import warnings

import pytest
import receiver as plan
from helpers import run_program, tracer_for
from receiver import Receiver

from lucidic._export import Exporter, ExportOptions, Store


SETUP = """
    from lucidic._export._exit import at_exit, on_sigterm
    exporter = Exporter(home, options=ExportOptions(linger=30, poll=30))
    at_exit(exporter.shutdown)
    tracer = tracer_for(exporter)
    for _ in range(30):
        tracer.start_span("s").end()
"""


def stored(home) -> list[str]:
    """What is in the store without anybody importing it."""
    store = Store(home)
    names = [span.name for span in store.spans()]
    store.close()
    return names


def recovered(home) -> list[str]:
    """What is in the store after the next process has looked; the books must balance."""
    exporter = Exporter(home)
    exporter.store.catch_up()
    names = [span.name for span in exporter.store.spans()]
    assert 0 == exporter.health().unexplained
    exporter.store.close()
    return names


@pytest.mark.parametrize(
    ("ending", "code", "said"),
    [
        ("pass", 0, ""),
        ("sys.exit(3)", 3, ""),
        ("raise ValueError('mine')", 1, "ValueError: mine"),
        ("raise KeyboardInterrupt", -signal.SIGINT, "KeyboardInterrupt"),
    ],
    ids=["normal", "sys.exit", "exception", "interrupt"],
)
def test_orderly_exits_deliver(tmp_path, ending, code, said):
    """A process that ends by itself has delivered everything; its exit code and traceback are its own."""
    done = run_program(SETUP + f"\n    {ending}\n", tmp_path)
    assert code == done.returncode
    assert said in done.stderr
    assert "lucidic" not in done.stderr.replace(str(tmp_path), "")
    assert 30 == len(stored(tmp_path))


@pytest.mark.parametrize(
    ("ending", "code"),
    [
        ("os.kill(os.getpid(), signal.SIGTERM); time.sleep(5)", -signal.SIGTERM),
        # Under nohup it would be ignored.
        ("signal.signal(1, signal.SIG_DFL); os.kill(os.getpid(), 1); time.sleep(5)", -signal.SIGHUP),
        ("os.kill(os.getpid(), signal.SIGKILL)", -signal.SIGKILL),
        ("os._exit(7)", 7),
        ("os.abort()", -signal.SIGABRT),
        ("import ctypes; ctypes.string_at(0)", -signal.SIGSEGV),
    ],
    ids=["sigterm", "sighup", "sigkill", "os._exit", "abort", "segfault"],
)
def test_sudden_ends_lose_nothing(tmp_path, ending, code):
    """A process that is ended from outside, or by itself without any farewell, has lost nothing."""
    done = run_program(SETUP + f"\n    {ending}\n", tmp_path)
    assert code == done.returncode
    assert 30 == len(recovered(tmp_path))


def test_sigterm_is_answered_and_kept(tmp_path):
    """With the handler SIGTERM delivers first, and the process still dies of it."""
    ending = "\n    on_sigterm(lambda: exporter.wind_up(1.0))\n    os.kill(os.getpid(), signal.SIGTERM)\n    time.sleep(5)\n"
    done = run_program(SETUP + ending, tmp_path)
    assert -signal.SIGTERM == done.returncode
    assert 30 == len(stored(tmp_path))


@pytest.mark.parametrize(
    ("prepared", "arranged"),
    [
        ("signal.signal(signal.SIGTERM, signal.SIG_IGN)", False),
        ("signal.signal(signal.SIGTERM, lambda *_: sys.exit(7))", False),
        ("os.environ['LUCIDIC_SIGTERM'] = '0'", False),
        ("os.environ['PYTEST_CURRENT_TEST'] = 'x'", False),
        ("pass", True),
    ],
    ids=["ignored", "own-handler", "refused", "pytest", "default"],
)
def test_sigterm_of_others_is_left_alone(tmp_path, prepared, arranged):
    """A handler is only put where the system's own was, and where nobody has refused it."""
    source = f"""
        {prepared}
        from lucidic._export._exit import on_sigterm
        before = signal.getsignal(signal.SIGTERM)
        print(on_sigterm(lambda: None), signal.getsignal(signal.SIGTERM) is before)
    """
    done = run_program(source, tmp_path)
    assert f"{arranged} {not arranged}" == done.stdout.strip()


def test_own_handler_after_ours_is_the_one(tmp_path):
    """An application that sets its handler after ours decides what SIGTERM does, and all is delivered."""
    ending = """
    on_sigterm(lambda: exporter.wind_up(1.0))
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(9))
    os.kill(os.getpid(), signal.SIGTERM)
    time.sleep(5)
    """
    done = run_program(SETUP + ending, tmp_path)
    assert 9 == done.returncode
    assert 30 == len(stored(tmp_path))


def test_hanging_backend_does_not_hold_the_exit(tmp_path):
    """With an endpoint that never answers, the process ends within the budget, and says what it left."""
    source = """
        from lucidic._export._exit import at_exit
        from lucidic._export._otlp import OTLPSink
        from lucidic._export._otlp_config import OTLPConfig
        sink = OTLPSink(OTLPConfig(endpoint=sys.argv[2] + "/v1/traces", gzip=False))
        exporter = Exporter(home, options=ExportOptions(exit_budget=0.5), sinks=[sink])
        at_exit(exporter.shutdown)
        tracer_for(exporter).start_span("s").end()
        at = time.monotonic()
        import atexit
        def took():
            print(time.monotonic() - at)
        atexit._clear(); atexit.register(took); atexit.register(exporter.shutdown)
    """
    with Receiver() as receiver:
        receiver.always = plan.hang
        done = run_program(source, tmp_path, receiver.url)
        receiver.release.set()
    assert 0 == done.returncode, done.stderr
    assert float(done.stdout) < 1.5
    assert "1 pending" in done.stderr
    assert ["s"] == recovered(tmp_path)


def test_spans_after_the_exit_hook_are_kept(tmp_path):
    """Spans that end in other exit hooks, after ours, are on the disk."""
    source = """
        import atexit
        from lucidic._export._exit import at_exit
        exporter = Exporter(home)
        tracer = tracer_for(exporter)
        tracer.start_span("early").end()
        atexit.register(lambda: [tracer.start_span("late").end() for _ in range(20)])
        at_exit(exporter.shutdown)
    """
    done = run_program(source, tmp_path)
    assert 0 == done.returncode, done.stderr
    assert 20 == recovered(tmp_path).count("late")


def test_tasks_that_nobody_awaits_are_delivered(tmp_path):
    """Spans of executor tasks that end after the main thread are delivered before the exit."""
    source = """
        from concurrent.futures import ThreadPoolExecutor
        from lucidic._export._exit import at_exit
        exporter = Exporter(home)
        at_exit(exporter.shutdown)
        tracer = tracer_for(exporter)
        tracer.start_span("first").end()
        gate = threading.Event()
        def task():
            gate.wait(10)
            tracer.start_span("task").end()
        pool = ThreadPoolExecutor(4)
        for _ in range(20):
            pool.submit(task)
        threading.Timer(0.2, gate.set).start()
    """
    done = run_program(source, tmp_path)
    assert 0 == done.returncode, done.stderr
    assert 21 == len(stored(tmp_path))


def test_daemon_threads_keep_what_returned(tmp_path):
    """What daemon threads end while the interpreter shuts down is kept, span for span."""
    source = """
        exporter = Exporter(home)
        tracer = tracer_for(exporter)
        counter = (home / "counted").open("ab", buffering=0)
        def work():
            while True:
                tracer.start_span("s").end()
                counter.write(b".")
        for _ in range(3):
            threading.Thread(target=work, daemon=True).start()
        while (home / "counted").stat().st_size < 500:
            time.sleep(0.01)
    """
    tmp_path.joinpath("counted").touch()
    done = run_program(source, tmp_path)
    assert 0 == done.returncode, done.stderr
    counted = tmp_path.joinpath("counted").stat().st_size
    assert 0 <= len(recovered(tmp_path)) - counted <= 3


def test_threadless_process_delivers_at_the_exit(tmp_path):
    """Where no thread can start, spans are written, and the shutdown delivers them by itself."""
    source = """
        def refuse(self):
            raise RuntimeError("can't start new thread")
        exporter = Exporter(home)
        tracer = tracer_for(exporter)
        threading.Thread.start = refuse
        tracer.start_span("s").end()
        assert exporter.shutdown(5)
    """
    done = run_program(source, tmp_path)
    assert 0 == done.returncode, done.stderr
    assert ["s"] == stored(tmp_path)


def test_books_that_do_not_close_are_one_line(tmp_path, caplog):
    """A shutdown that leaves something behind says so in exactly one line; one that does not says nothing."""
    exporter = Exporter(tmp_path, options=ExportOptions(fsync_window=0))
    exporter.shutdown(1)
    assert not caplog.records
    from helpers import tracer_for

    tracer_for(exporter).start_span("s").end()
    assert exporter.shutdown(10)
    time.monotonic()
    assert not [record for record in caplog.records if "Not everything" in record.message]
    exporter.store.close()


def test_thread_that_outlives_the_shutdown_closes_what_it_opened(tmp_path, monkeypatch):
    """A store thread that is still importing when the shutdown's time is over leaves no connection open."""
    from lucidic._export import _store

    importing, go_on = threading.Event(), threading.Event()
    real = _store.import_segment

    def slow(connection, path):
        importing.set()
        go_on.wait(20)
        return real(connection, path)

    monkeypatch.setattr(_store, "import_segment", slow)
    exporter = Exporter(tmp_path, options=ExportOptions(fsync_window=0, linger=0.0))
    tracer_for(exporter).start_span("s").end()
    assert importing.wait(10)
    assert not exporter.shutdown(0.1)
    go_on.set()
    worker = exporter._store_worker._thread
    worker.join(20)
    assert exporter.store._engine is None
    del exporter
    with warnings.catch_warnings(record=True) as said:
        warnings.simplefilter("always")
        gc.collect()
    assert not [warning for warning in said if "sqlite3" in str(warning.message)]
