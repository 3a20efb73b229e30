"""The hosted API gets its sessions also where no folder can be written."""

from __future__ import annotations

import sqlite3

from opentelemetry import trace

import lucidic as lai
from lucidic._export._hosted_state import RemoteSession, SessionStates


def test_home_that_cannot_be_made(hosted, tmp_path, monkeypatch):
    """Sessions and events reach the backend from memory, each once, and the books balance."""
    (tmp_path / "file").write_text("no folder")
    monkeypatch.setenv("LUCIDIC_HOME", str(tmp_path / "file" / "home"))
    sid = lai.init("Without a disk")
    for turn in range(2):
        trace.get_tracer("t").start_span(f"turn-{turn}").end()
        assert not lai.flush(10), "the local store cannot have them"
    lai.end_session(sid)
    assert not lai.flush(10)
    _store, page = lai.health().sinks
    assert ("ok", 0, 2) == (page.state, page.pending, page.delivered)
    assert 0 == lai.health().unexplained
    (session,) = hosted.sessions.values()
    assert session.is_finished
    assert 2 == len(hosted.events)


def test_what_could_not_be_remembered_is_written_later(tmp_path):
    """What is learned of sessions while the file cannot be written is known, and in the file when it can."""
    folder = tmp_path / "states"
    folder.write_text("no folder")
    states = SessionStates(folder / "s.db")
    with states.opened():
        states.put(RemoteSession("a", "backend-a"))
        states.put(RemoteSession("b", "backend-b"))
        states.forget("b")
        assert ("backend-a", None) == (states.get("a").backend_id, states.get("b"))
    folder.unlink()
    with states.opened():
        assert "backend-a" == states.get("a").backend_id
    with SessionStates(folder / "s.db").opened():
        pass
    database = sqlite3.connect(folder / "s.db")
    assert [("a",)] == database.execute("SELECT session_id FROM sessions").fetchall()
    database.close()
