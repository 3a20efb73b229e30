"""A real conversation, from the handler to what a person reads, with processes that die on the way."""

from __future__ import annotations

import json
import os
import subprocess
import sys

import pytest


KILLED = """
import os, signal
from lucidic._demo import run_demo

seen = []

def on_span(span):
    seen.append(span.span_id)
    if len(seen) == 9:
        print("\\n".join(seen), flush=True)
        os.kill(os.getpid(), signal.SIGKILL)

run_demo(on_span=on_span)
"""


@pytest.fixture
def lucidic(tmp_path):
    environment = {**os.environ, "LUCIDIC_HOME": str(tmp_path / "home"), "NO_COLOR": "1"}

    def run(*arguments):
        return subprocess.run(
            [sys.executable, *arguments],
            env=environment,
            capture_output=True,
            text=True,
            timeout=120,
            cwd=tmp_path,
        )

    return run


@pytest.mark.slow
def test_the_demo_shows_its_conversation_while_and_after_it_runs(lucidic):
    """The demo prints turns, tools and tokens; show prints the same session, its root spans readable."""
    demo = lucidic("-m", "lucidic", "demo")
    shown = lucidic("-m", "lucidic", "show", "--json")
    sessions = lucidic("-m", "lucidic", "sessions", "--json")

    assert (0, "") == (demo.returncode, demo.stderr)
    assert 4 == demo.stdout.count("Turn ") // 2
    assert "find_order" in demo.stdout
    document = json.loads(shown.stdout)
    roots = [
        span for trace in document["traces"] for span in trace["spans"] if span["parent_span_id"] is None
    ]
    assert 4 == len(document["traces"]) == len(roots)
    assert "Hello, where is my order 4711?" == roots[0]["attributes"]["input.value"]
    assert (
        "Done: your two reading lamps arrive on Monday, at no extra cost."
        == roots[2]["attributes"]["output.value"]
    )
    assert "Is one of the lamps bright enough for my desk?" == roots[3]["attributes"]["input.value"]
    assert roots[3]["attributes"]["output.value"].startswith("Yes: with 470 lumen")
    assert [document["session"]["id"]] == [session["id"] for session in json.loads(sessions.stdout)]


@pytest.mark.slow
def test_a_demo_that_is_killed_leaves_every_finished_span_readable(lucidic):
    """After kill -9 in mid-run, show has each span that had finished, and the session as died."""
    killed = lucidic("-c", KILLED)
    document = json.loads(lucidic("-m", "lucidic", "show", "--json").stdout)

    finished = set(killed.stdout.split())
    shown = {span["span_id"] for trace in document["traces"] for span in trace["spans"]}
    assert -9 == killed.returncode
    assert 9 == len(finished)
    assert finished <= shown
    assert "died" == document["session"]["state"]


def test_an_unwritable_home_stops_nothing_and_is_said(lucidic, tmp_path):
    """With a home that cannot be written spans are kept in memory; one line says so, one at exit what is lost."""
    (tmp_path / "home").write_text("a file, not a folder")
    ran = lucidic(
        "-c",
        "import logging; logging.basicConfig()\n"
        "import lucidic as lai\n"
        "from lucidic.adapterkit import *\n"
        "with lai.session('x'):\n"
        "    for n in range(20): make_tracer('t', AdapterOptions()).start('run', 'CHAIN').end()\n"
        "lai.flush(1)\n"
        "print('done', lai.health().memory_spans)",
    )

    assert 0 == ran.returncode, ran.stderr
    assert "done 20" in ran.stdout
    running, at_exit = ran.stderr.splitlines()
    assert "cannot be written" in running
    assert "only in memory is lost now" in at_exit


def test_asking_for_what_is_not_there_is_a_clear_error(lucidic):
    """Without any session, show says how to make one, and an unknown id says how to list them."""
    empty = lucidic("-m", "lucidic", "show")
    unknown = lucidic("-m", "lucidic", "show", "no-such-session")

    assert 0 != empty.returncode
    assert "lucidic demo" in empty.stderr
    assert "no-such-session" in unknown.stderr
    assert "Traceback" not in empty.stderr + unknown.stderr
