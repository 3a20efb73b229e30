"""Real processes and the hosted API: how they end, and what the next one does."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import textwrap

import pytest


pytestmark = pytest.mark.slow

PREAMBLE = """
import os, signal, sys
import lucidic as lai
from lucidic._runtime import runtime
def span(name):
    runtime().provider().get_tracer("t").start_span(name).end()
"""
ENDINGS = {
    "last line": ("", 0),
    "sys.exit(3)": ("sys.exit(3)", 3),
    "uncaught": ("raise RuntimeError('x')", 1),
}


def run(body, **variables):
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path), **variables}
    return subprocess.run(
        [sys.executable, "-c", PREAMBLE + textwrap.dedent(body)],
        env=environment,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


@pytest.mark.parametrize("ending", ENDINGS)
def test_exit_delivers(hosted, ending):
    """Twenty events and then the end arrive before the process is over, and its status is its own."""
    last, status = ENDINGS[ending]
    done = run(
        f"lai.init(session_id='s')\nfor place in range(20): span(str(place))\n{last}",
        LUCIDIC_EXIT_BUDGET="10",
    )
    assert done.returncode == status, done.stderr
    assert len(hosted.story("s")) == 20
    session = hosted.sessions["s"]
    assert (session.is_finished, session.ends, session.late_events) == (True, 1, 0)
    assert session.fields.get("is_successful", True) is (ending != "uncaught")


def test_exit_without_auto_end(hosted):
    """With auto_end=False everything is delivered at exit, and no end."""
    done = run("lai.init(session_id='s', auto_end=False)\nspan('a')", LUCIDIC_EXIT_BUDGET="10")
    assert done.returncode == 0, done.stderr
    assert len(hosted.story("s")) == 1
    assert hosted.sessions["s"].ends == 0


def test_kill_and_next_process(hosted):
    """What a killed process had recorded is delivered by the next one, once each."""
    hosted.drop("events", stored=True)
    killed = run(
        """
        lai.init(session_id='s', auto_end=False)
        for place in range(5): span(str(place))
        lai.flush(1)
        os.kill(os.getpid(), signal.SIGKILL)
        """
    )
    assert killed.returncode == -signal.SIGKILL
    hosted.heal()
    done = run("lai.continue_session('s')\nspan('again')\nassert lai.flush(30)")
    assert done.returncode == 0, done.stderr
    assert [event["payload"]["name"] for event in hosted.story("s")] == ["0", "1", "2", "3", "4", "again"]
    assert hosted.sessions["s"].late_events == 0


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")
def test_fork(hosted):
    """Parent and forked child deliver their own spans over connections of their own, each span once."""
    done = run(
        """
        with lai.session(session_id='s'):
            span('before'); assert lai.flush(30)
            child = os.fork()
            if child == 0:
                span('child'); sys.exit(0)
            _, status = os.waitpid(child, 0)
            span('parent')
        assert lai.flush(30)
        """,
        LUCIDIC_EXIT_BUDGET="10",
    )
    assert done.returncode == 0, done.stderr
    assert sorted(event["payload"]["name"] for event in hosted.story("s")) == ["before", "child", "parent"]
    assert hosted.sessions["s"].is_finished
