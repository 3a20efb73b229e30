"""From a span to the store, within one process and after its death."""

from __future__ import annotations

import threading
import time

import pytest
from helpers import run_program, tracer_for

from lucidic._export import Exporter, Store
from lucidic._records import SessionRecord


def test_creating_touches_nothing(tmp_path):
    """An exporter that has seen no span has made no file and started no thread."""
    before = threading.enumerate()
    exporter = Exporter(tmp_path / "home")
    assert exporter.flush(0)
    assert exporter.shutdown(0)
    assert before == threading.enumerate()
    assert not (tmp_path / "home").exists()


def test_flush_delivers_to_the_store(exporter, tmp_path):
    """After a flush that says True every ended span can be read from the store."""
    tracer = tracer_for(exporter)
    with tracer.start_as_current_span("root", attributes={"lucidic.session_id": "s"}):
        tracer.start_span("child", attributes={"lucidic.session_id": "s"}).end()
    tracer.start_span("stray").end()
    assert exporter.flush(10)
    store = Store(tmp_path)
    assert ["root", "child"] == [span.name for span in store.spans("s")]
    assert ["stray"] == [span.name for span in store.spans(unattributed=True)]
    assert 3 == len(store.spans())
    store.close()


def test_many_threads_lose_nothing(exporter):
    """Spans that end in eight threads at once are all delivered, and the books balance."""
    tracer = tracer_for(exporter)
    barrier = threading.Barrier(8)

    def work() -> None:
        barrier.wait()
        for _ in range(250):
            tracer.start_span("s", attributes={"text": "x" * 500}).end()

    threads = [threading.Thread(target=work) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert exporter.flush(20)
    (page,) = exporter.health().sinks
    assert (2000, 2000, 0) == (page.produced, page.delivered, page.pending)


def test_sessions_are_registered(exporter, tmp_path):
    """A session's records make its row: state, fields, tags and times."""

    def record(event, time_ns, **fields):
        exporter.session_changed(
            SessionRecord(session_id="s", event=event, time_ns=time_ns, source="init", fields=fields)
        )

    record("start", 10, name="chat", tags=["a", "b"], user_id="u")
    record("update", 20, task="help")
    store = Store(tmp_path)
    store.catch_up()
    session = store.session("s")
    assert ("active", "chat", 10, None) == (session.state, session.name, session.started_ns, session.ended_ns)
    record("end", 30, is_successful=True)
    store.catch_up()
    session = store.session("s")
    assert ("finished", 30) == (session.state, session.ended_ns)
    expected = {"name": "chat", "tags": ["a", "b"], "user_id": "u", "task": "help", "is_successful": True}
    assert expected == session.fields
    assert ["s"] == [found.session_id for found in store.sessions(tag="b", user_id="u", state="finished")]
    assert [] == store.sessions(tag="c")
    store.close()


@pytest.mark.parametrize("way", ["os.kill(os.getpid(), signal.SIGKILL)", "os._exit(3)", "os.abort()"])
def test_killed_process_loses_nothing(tmp_path, way):
    """A process killed right after its spans ended leaves all of them, and what ran is closed as terminated."""
    source = f"""
        exporter = Exporter(home)
        exporter.session_changed(SessionRecord(session_id="s", event="start", time_ns=time.time_ns()))
        tracer = tracer_for(exporter)
        running = tracer.start_span("running", attributes={{"lucidic.session_id": "s", "secret": "x"}})
        for _ in range(100):
            tracer.start_span("done", attributes={{"lucidic.session_id": "s"}}).end()
        {way}
    """
    run_program(source, tmp_path)
    store = Store(tmp_path)
    store.catch_up()
    spans = store.spans("s")
    assert 100 == sum(span.name == "done" for span in spans)
    (running,) = (span for span in spans if span.name == "running")
    assert ("ERROR", "process terminated", True) == (
        running.status,
        running.status_message,
        running.attributes["lucidic.incomplete"],
    )
    assert "secret" not in running.attributes
    session = store.session("s")
    assert "died" == session.state
    assert session.ended_ns == max(span.end_ns for span in spans)
    store.catch_up()
    assert 101 == len(store.spans("s"))
    store.close()


def test_forked_child_writes_its_own(tmp_path):
    """Parent and forked child deliver each span once, whichever of them it came from."""
    source = """
        exporter = Exporter(home)
        tracer = tracer_for(exporter)
        for _ in range(50):
            tracer.start_span("parent").end()
        pid = os.fork()
        for _ in range(50):
            tracer.start_span("child" if pid == 0 else "parent").end()
        if pid == 0:
            os._exit(0)
        os.waitpid(pid, 0)
        assert exporter.shutdown(10)
        health = exporter.health()
        assert health.unexplained == 0 and health.produced == 100, health
    """
    done = run_program(source, tmp_path)
    assert 0 == done.returncode, done.stderr
    store = Store(tmp_path)
    store.catch_up()
    names = [span.name for span in store.spans()]
    assert (100, 50) == (names.count("parent"), names.count("child"))
    store.close()


def test_listener_gets_spans_as_they_end(exporter):
    """A live listener is given its session's spans in the order they end."""
    tracer = tracer_for(exporter)
    with exporter.listen("s") as listener:
        for name, session in (("a", "s"), ("b", "other"), ("c", "s")):
            tracer.start_span(name, attributes={"lucidic.session_id": session}).end()
    assert ["a", "c"] == [span.name for span in listener]


def test_spans_after_shutdown_are_kept(exporter, tmp_path):
    """A span that ends after the shutdown is on the disk, and a new exporter on the same folder goes on."""
    tracer = tracer_for(exporter)
    tracer.start_span("before").end()
    assert exporter.shutdown(10)
    tracer.start_span("after").end()
    again = Exporter(tmp_path)
    tracer_for(again).start_span("again").end()
    assert again.flush(10)
    assert {"before", "after", "again"} == {span.name for span in again.store.spans()}
    again.shutdown(5)
    again.store.close()


def test_flush_keeps_its_timeout(exporter, monkeypatch):
    """A flush whose store hangs returns False when its time is over."""
    release = threading.Event()
    tracer = tracer_for(exporter)
    monkeypatch.setattr(exporter.store, "import_once", lambda: release.wait(20) and False)
    tracer.start_span("s").end()
    started = time.monotonic()
    assert not exporter.flush(0.2)
    assert time.monotonic() - started < 5
    monkeypatch.undo()
    release.set()
