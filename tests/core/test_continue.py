"""continue_session(): what exists and is not finished, here or in another process."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest
from opentelemetry import trace

import lucidic as lai
from lucidic._runtime import runtime
from lucidic.errors import (
    APIKeyVerificationError,
    InvalidOperationError,
    SessionActiveError,
    SessionFinishedError,
    SessionNotFoundError,
)


def run(code, **env):
    """Run code in a process of its own on the same home."""
    return subprocess.run(
        [sys.executable, "-W", "ignore", "-c", code],
        env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path), **env},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


def plain(name):
    with trace.get_tracer("user").start_as_current_span(name):
        pass


BEGIN = """
import lucidic as lai
from opentelemetry import trace
sid = lai.init("first", auto_end={auto_end})
lai.create_step(state="in the first process")
lai.end_step()
print(sid)
{end}
"""


def test_session_of_another_process_goes_on_here():
    """Two real processes write one session, and its spans are all there."""
    sid = run(BEGIN.format(auto_end=False, end="")).stdout.strip()

    assert sid == lai.continue_session(session_id=sid)
    lai.create_step(state="in the second process")
    lai.end_step()
    lai.end_session()
    assert lai.flush(10.0)

    stored = lai.get_session(sid)
    assert (2, "finished", "first") == (stored.spans, stored.state, stored.name)


def test_session_of_a_killed_process_goes_on_here():
    """A session that died with its process may be continued; what it had is still there."""
    known = run(
        "import lucidic as lai, os; sid = lai.init(session_id='killed-session-1', task='t');"
        "lai.create_step(state='before'); lai.end_step(); os.kill(os.getpid(), 9)"
    )
    assert -9 == known.returncode

    assert "killed-session-1" == lai.continue_session("killed-session-1")
    lai.end_session()
    assert lai.flush(10.0)

    stored = lai.get_session("killed-session-1")
    assert ("t", 1, "finished") == (stored.fields["task"], stored.spans, stored.state)


def test_finished_session_needs_reopen():
    """A finished session is refused with an error that names reopen=True, which continues it."""
    sid = run(BEGIN.format(auto_end=True, end="lai.end_session()")).stdout.strip()

    with pytest.raises(SessionFinishedError, match="reopen=True"):
        lai.continue_session(sid)
    assert sid == lai.continue_session(sid, reopen=True)
    assert "active" == lai.get_session(sid).state


def test_unknown_session_is_refused_before_anything_happens():
    """An id that nobody has begun is an InvalidOperationError, and nothing is bound or written."""
    with pytest.raises(SessionNotFoundError, match=r"lai\.init") as caught:
        lai.continue_session(session_id="invalid-session")

    assert isinstance(caught.value, InvalidOperationError)
    assert lai.current_session_id() is None
    assert lai.get_session("invalid-session") is None


def test_not_while_another_session_is_active_here(captured):
    """Another active session is in the way until it ends; the same one is simply returned."""
    first = lai.init("first")
    lai.bind_session(first)
    second = lai.init("second")

    with pytest.raises(SessionActiveError, match=r"lai\.end_session"):
        lai.continue_session(first)
    assert second == lai.continue_session(second)
    lai.end_session()
    assert first == lai.continue_session(first)
    with lai.session("third"), pytest.raises(SessionActiveError):
        lai.continue_session(first)


def test_continuing_the_active_session_writes_nothing_new(captured):
    """continue_session() of the active session returns its id and opens nothing twice."""
    sid = lai.init("x")
    lai.continue_session(sid)

    assert ["start"] == [record.event for record in captured.sessions]


def test_masking_and_providers_are_not_inherited(captured):
    """A continued session masks with what continue_session() was given, or with nothing."""
    sid = lai.init("x", masking_function=lambda text: "*")
    with pytest.raises(SessionFinishedError):
        lai.end_session(), lai.continue_session(sid)
    lai.continue_session(sid, reopen=True)

    assert runtime().settings.masking_function is None


def test_mask_of_another_open_session_stays(captured):
    """A mask that another open session of this process needs is never dropped."""
    lai.init(session_id="masked-session-123", masking_function=lambda text: "*")
    lai.clear_active_session()
    lai.init(session_id="second-session-123")
    lai.clear_active_session()
    lai.continue_session("second-session-123")

    assert runtime().settings.masking_function is not None


def test_every_documented_parameter_is_accepted_by_position_and_name(captured):
    """The documented signature works as documented, and api_key is another name of the key."""
    sid = lai.init("x")
    mask = str.upper
    assert sid == lai.continue_session(sid, "k-1", "a-1", [], mask, False)
    assert sid == lai.continue_session(
        session_id=sid, api_key="k-1", agent_id="a-1", providers=[], masking_function=mask, auto_end=True
    )
    assert "k-1" == runtime().settings.api_key


def test_missing_credential_is_named(captured):
    """Hosted mode with a missing credential names the variable before the session is touched."""
    sid = lai.init("x")
    lai.clear_active_session()
    with pytest.raises(APIKeyVerificationError, match="LUCIDIC_AGENT_ID"):
        lai.continue_session(sid, lucidic_api_key="k-1")


def test_checkpoint_recovers_in_a_new_process(tmp_path):
    """What a crashed process saved and recorded is there for the process that continues its session."""
    checkpoint = tmp_path / "checkpoint.pkl"
    crashed = run(
        f"""
import lucidic as lai, os, pickle
session_id = lai.init(session_name="Long Running Process")
lai.create_step(state="part 1")
lai.end_step()
with open({str(checkpoint)!r}, "wb") as f:
    pickle.dump({{"session_id": session_id, "data": [1, 2]}}, f)
os._exit(7)
"""
    )
    recovered = run(
        f"""
import lucidic as lai, pickle
with open({str(checkpoint)!r}, "rb") as f:
    saved = pickle.load(f)
lai.continue_session(session_id=saved["session_id"])
lai.create_step(state="part 2")
lai.end_step()
print(saved["session_id"])
"""
    )
    stored = lai.get_session(recovered.stdout.strip())

    assert (7, 0) == (crashed.returncode, recovered.returncode)
    assert (2, "finished") == (stored.spans, stored.state)
