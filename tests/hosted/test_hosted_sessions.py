"""The session functions of the public API against the hosted API, over HTTP on loopback."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest

import lucidic as lai
from lucidic._runtime import runtime
from lucidic.testing import FakeLucidic


SESSION_CALLS = ("initsession", "updatesession", "events")


def span(name="work"):
    """Make a span of any kind, as somebody else's code would."""
    return runtime().provider().get_tracer("tests").start_as_current_span(name)


def test_session_block(hosted):
    """A session block is one initsession, its events, and one end, which comes last."""
    with lai.session(session_name="Order", task="buy", tags=["a"]) as session_id:
        for number in range(10):
            with span(f"s{number}"):
                pass
    assert lai.flush(10)
    calls = hosted.calls(*SESSION_CALLS)
    assert calls[0] == ("POST", "initsession")
    assert calls[-1] == ("PUT", "updatesession")
    assert len(calls) == 12
    body = next(request.body for request in hosted.requests if request.path == "initsession")
    assert {name: body[name] for name in body if name != "current_time"} == {
        "session_id": session_id,
        "session_name": "Order",
        "agent_id": "agent-1",
        "task": "buy",
        "tags": ["a"],
    }
    assert hosted.sessions[session_id].ends == 1
    assert hosted.sessions[session_id].late_events == 0


def test_headers_and_time(hosted):
    """Every request carries the key and the agent, and every body the time."""
    with lai.session(), span():
        pass
    assert lai.flush(10)
    sent = [request for request in hosted.requests if request.path in SESSION_CALLS]
    assert {request.headers["authorization"] for request in sent} == {"Api-Key key-1"}
    assert {request.headers["x-agent-id"] for request in sent} == {"agent-1"}
    assert all("current_time" in request.body for request in sent)


def test_failing_block_ends_unsuccessful(hosted):
    """A block that raises ends its session once, unsuccessful."""
    with pytest.raises(KeyError), lai.session() as session_id, span():
        raise KeyError("x")
    assert lai.flush(10)
    assert hosted.sessions[session_id].ends == 1
    assert hosted.sessions[session_id].fields["is_successful"] is False


def test_bind_does_not_end(hosted):
    """A bound session gets its events and no end; a later explicit end ends it once."""
    session_id = lai.init(session_id="conversation/7", auto_end=False)
    for _ in range(2):
        with lai.bind_session(session_id), span():
            pass
    assert lai.flush(10)
    assert hosted.sessions[session_id].ends == 0
    assert len(hosted.story(session_id)) == 2
    lai.end_session(session_id, is_successful=True, is_successful_reason="done", session_eval=0.5)
    lai.end_session(session_id)
    assert lai.flush(10)
    session = hosted.sessions[session_id]
    assert session.ends == 1
    assert session.fields["is_successful"] is True
    assert session.fields["session_eval"] == 0.5
    assert hosted.calls("initsession") == [("POST", "initsession")]


def test_attached_session_of_others(hosted):
    """Events of a session that another machine created arrive, and the session stays open."""
    with lai.bind_session("of-others"), span():
        pass
    assert lai.flush(10)
    assert len(hosted.story("of-others")) == 1
    assert not hosted.sessions["of-others"].is_finished


def test_nested_sessions(hosted):
    """Nested sessions get their own events each and end once, the innermost first."""
    with lai.session() as outer, span():
        with lai.session() as inner, span():
            pass
    assert lai.flush(10)
    ends = [request.body["session_id"] for request in hosted.requests if request.path == "updatesession"]
    assert ends == [inner, outer]
    assert [len(hosted.story(each)) for each in (outer, inner)] == [1, 1]


def test_end_waits_for_late_spans(hosted):
    """A span that is open when its session ends arrives before the end if it can, else the end is said again."""
    session_id = lai.init()
    with span("early"):
        lai.end_session(session_id)
    assert lai.flush(10)
    session = hosted.sessions[session_id]
    assert hosted.calls(*SESSION_CALLS)[-1] == ("PUT", "updatesession")
    assert session.is_finished

    session_id = lai.init()
    with span("late"):
        lai.end_session(session_id)
        assert lai.flush(10)
    assert lai.flush(10)
    session = hosted.sessions[session_id]
    assert (session.late_events, session.ends) == (1, 2)
    assert hosted.calls(*SESSION_CALLS)[-1] == ("PUT", "updatesession")


def test_update_session(hosted):
    """A change of a session reaches the backend under the names of its body."""
    session_id = lai.init()
    lai.update_session(task="new task", tags=["b"])
    assert lai.flush(10)
    assert hosted.sessions[session_id].fields["task"] == "new task"
    assert hosted.sessions[session_id].fields["tags"] == ["b"]


def test_renamed_session(hosted):
    """A session's new name arrives while it is open; a finished one is not opened again for it."""
    with lai.session(session_id="user_1_conv_1"):
        lai.update_session(session_name="Lamp", task="buy a lamp")
    assert lai.flush(10)
    session = hosted.sessions["user_1_conv_1"]
    assert (session.fields["session_name"], session.fields["task"]) == ("Lamp", "buy a lamp")
    lai.update_session("user_1_conv_1", session_name="Late", session_eval=0.5)
    assert lai.flush(10)
    assert session.is_finished
    assert (session.fields["session_name"], session.fields["session_eval"]) == ("Lamp", 0.5)


def test_translated_ids(monkeypatch):
    """The backend's id goes on the wire, and the user sees only the one that was given, also in a second process."""
    fake = FakeLucidic(translate=lambda given: f"backend-{given}")
    with fake.serve() as url:
        monkeypatch.setenv("LUCIDIC_BASE_URL", url)
        monkeypatch.setenv("LUCIDIC_API_KEY", "k")
        monkeypatch.setenv("LUCIDIC_AGENT_ID", "a")
        assert lai.init(session_id="mine", auto_end=False) == "mine"
        with span():
            pass
        lai.shutdown()
        assert lai.continue_session("mine") == "mine"
        with span():
            assert lai.current_session_id() == "mine"
        lai.end_session()
        assert lai.flush(10)
        lai.shutdown()
    events = [request for request in fake.requests if request.path == "events"]
    assert [request.body["session_id"] for request in events] == ["backend-mine"] * 2
    assert [request.status for request in events] == [200] * 2
    assert fake.sessions["backend-mine"].is_finished
    attributes = events[0].body["payload"]["attributes"]
    assert attributes["lucidic.session_id"] == "mine"
    assert fake.calls("initsession") == [("POST", "initsession")]


def test_spans_without_session(hosted):
    """A span without a session is not sent, and counted for this sink and no other."""
    with span("alone"):
        pass
    with lai.session(), span():
        pass
    assert lai.flush(10)
    assert len(hosted.events) == 1
    books = {sink.name.partition("-")[0]: sink for sink in runtime().exporter.health().sinks}
    assert books["hosted"].dropped == {"no_session": 1}
    assert books["hosted"].delivered == 1
    assert books["hosted"].sound
    assert books["store"].dropped == {}
    assert runtime().exporter.health().unexplained == 0


def test_httpx_is_not_imported_by_a_thread_of_ours(tmp_path):
    """httpx is whole before the first delivery, or never there: other libraries look for it in sys.modules."""
    program = (
        "import sys, lucidic as lai\n"
        "from lucidic.sinks import CONFIGURED, otlp\n"
        "from lucidic._runtime import runtime\n"
        "assert 'httpx' not in sys.modules\n"
        "{make}\n"
    )
    whole = "[make(runtime().settings) for make in CONFIGURED]; assert hasattr(sys.modules['httpx'], 'URL')"
    never = (
        "lai.init(); lai.add_sink(otlp('http://127.0.0.1:1')); lai.create_step('s'); lai.end_step(); lai.flush(0.5)\n"
        "assert 'httpx' not in sys.modules"
    )
    environment = {
        **os.environ,
        "LUCIDIC_HOME": str(tmp_path),
        "PYTHONPATH": os.pathsep.join(sys.path),
    }
    credentials = {"LUCIDIC_API_KEY": "k", "LUCIDIC_AGENT_ID": "a"}
    for make, more in ((whole, credentials), (never, {})):
        subprocess.run(
            [sys.executable, "-c", program.format(make=make)],
            env={**environment, **more},
            check=True,
            timeout=60,
        )


def test_nothing_masked_is_sent(hosted):
    """What the masking function hides is in no request: not in attributes, errors, session fields or ids of uploads."""
    lai.init(
        session_name="SECRET name",
        task="SECRET task",
        masking_function=lambda text: text.replace("SECRET", "***"),
    )
    with pytest.raises(ValueError, match="SECRET"), span("work") as current:
        current.set_attribute("input.value", "SECRET " * 20_000)
        current.set_attribute("metadata", '{"note": "SECRET"}')
        raise ValueError("SECRET in the message")
    lai.end_session(is_successful_reason="SECRET reason")
    assert lai.flush(10)
    sent = repr(hosted.requests)
    assert "***" in sent
    assert "SECRET" not in sent
