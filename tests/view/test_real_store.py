"""The commands on the real store, filled by this process and by one that is killed."""

from __future__ import annotations

import json
import signal
import subprocess
import sys

from click.testing import CliRunner

import lucidic as lai
from lucidic._cli import main
from lucidic._runtime import runtime


SCRIPT = """
import sys
import lucidic as lai
from lucidic._runtime import runtime
tracer = runtime().provider().get_tracer("t")
with lai.session("Killed", session_id="killed-1"), tracer.start_as_current_span("agent"):
    said = {"openinference.span.kind": "TOOL", "tool.name": "look", "input.value": '{"city": "Paris"}'}
    tracer.start_span("look", attributes=said).end()
    print("ready", flush=True)
    sys.stdin.read()
"""


def lucidic(*arguments):
    return CliRunner().invoke(main, list(arguments), catch_exceptions=False)


def test_a_session_of_this_process_is_listed_shown_and_counted():
    """What the pipeline writes is what the commands read, with nothing in between."""
    tracer = runtime().provider().get_tracer("t")
    with lai.session("Real", session_id="real-1"):
        said = {"openinference.span.kind": "AGENT", "input.value": "Hello?", "output.value": "Hi."}
        with tracer.start_as_current_span("bob", attributes=said):
            pass
    shown = lucidic("show").stdout
    assert shown.startswith("Session Real\nreal-1\nfinished · ")
    assert "  You    Hello?\n  Answer Hi.\n  agent bob" in shown
    (listed,) = json.loads(lucidic("sessions", "--json").stdout)
    assert (listed["id"], listed["name"], listed["state"], listed["spans"]) == (
        "real-1",
        "Real",
        "finished",
        1,
    )
    report = json.loads(lucidic("doctor", "--json").stdout)
    assert (report["ledger"]["unexplained"], report["problems"]) == (0, [])
    assert json.loads(lucidic("stats", "--json").stdout)["agent"][0]["name"] == "bob"


def test_what_a_killed_process_finished_is_shown():
    """kill -9 in the middle of a turn: the session died, and its finished spans are readable."""
    with subprocess.Popen([sys.executable, "-c", SCRIPT], stdin=-1, stdout=-1, text=True) as child:
        assert child.stdout.readline() == "ready\n"
        assert json.loads(lucidic("show", "--json").stdout)["session"]["state"] == "active"
        child.send_signal(signal.SIGKILL)
    shown = lucidic("show", "killed-1").stdout
    assert 'tool look(city="Paris")' in shown
    assert shown.splitlines()[2].startswith("died")


def test_a_damaged_store_and_a_missing_folder_are_one_line(tmp_path, monkeypatch):
    """No traceback on what a full or foreign disk leaves behind."""
    (tmp_path / "store.db").write_text("this is no database, and long enough to be taken for one " * 20)
    (tmp_path / "file").touch()
    for home, said in ((tmp_path, "put aside"), (tmp_path / "file", "LUCIDIC_HOME")):
        monkeypatch.setenv("LUCIDIC_HOME", str(home))
        result = lucidic("sessions")
        assert result.exit_code == 3
        assert said in result.stderr


def test_show_displays_the_bound_session_before_the_newest():
    """lai.show() in a cell inside a session shows that session; outside, the newest; by id, any."""
    for name in ("one", "two"):
        with lai.session(name, session_id=name):
            pass
    with lai.bind_session("one"):
        assert lai.show().session.session_id == "one"
    assert lai.show().session.session_id == "two"
    assert lai.show("one").session.name == "one"
    assert '<div class="lucidic"' in lai.show()._repr_html_()
