"""The end of a process: what is ended, what is kept, and the exit code that stays what it was."""

from __future__ import annotations

import os
import signal
import subprocess
import sys

import pytest
from opentelemetry import trace

import lucidic as lai
from lucidic._runtime import runtime


WORK = """
import os, signal, sys, threading
signal.signal(signal.SIGINT, signal.default_int_handler)  # whoever runs the tests may ignore it
import lucidic as lai
lai.init(session_id="exit-session-123"{options})
for index in range(20):
    lai.create_step(state=str(index))
    lai.end_step()
"""

HANDLED = """
def handler(number, frame):
    print("user's handler", flush=True)
    sys.exit(5)
signal.signal(signal.SIGTERM, handler)
"""


def run(code):
    env = {name: value for name, value in os.environ.items() if name != "PYTEST_CURRENT_TEST"}
    return subprocess.run(
        [sys.executable, "-W", "ignore", "-c", code],
        env={**env, "PYTHONPATH": os.pathsep.join(sys.path)},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


ENDS = {
    "script end": ("", 0),
    "sys.exit(3)": ("sys.exit(3)", 3),
    "uncaught": ("raise ValueError('what went wrong')", 1),
    "SIGTERM": ("os.kill(os.getpid(), signal.SIGTERM)\nthreading.Event().wait(20)", -signal.SIGTERM),
    "SIGINT": ("os.kill(os.getpid(), signal.SIGINT)\nthreading.Event().wait(20)", -signal.SIGINT),
    "user's handler": (HANDLED + "os.kill(os.getpid(), signal.SIGTERM)\nthreading.Event().wait(20)", 5),
}


@pytest.mark.parametrize("auto_end", [True, False])
@pytest.mark.parametrize("end", ENDS)
def test_every_end_delivers_ends_what_it_should_and_keeps_the_exit_code(end, auto_end):
    """All 20 spans are there; the session ends exactly if auto_end says so; the exit code is unchanged."""
    code, expected = ENDS[end]
    done = run(WORK.format(options=f", auto_end={auto_end}") + code)
    stored = lai.get_session("exit-session-123")

    assert expected == done.returncode, done.stderr
    assert 20 == stored.spans
    assert ("finished" if auto_end else "active") == stored.state
    assert ("user's handler" in done.stdout) == (end == "user's handler")


def test_uncaught_error_marks_the_session_unsuccessful():
    """The session that an uncaught error ended says so, with the error; the traceback is printed as ever."""
    done = run(WORK.format(options="") + "raise ValueError('what went wrong')")
    fields = lai.get_session("exit-session-123").fields

    assert (False, "ValueError: what went wrong") == (fields["is_successful"], fields["is_successful_reason"])
    assert done.stderr.rstrip().endswith("ValueError: what went wrong")


def test_uncaught_error_is_not_looked_at_when_asked_not_to():
    """With capture_uncaught=False the session just ends."""
    run(WORK.format(options=", capture_uncaught=False") + "raise ValueError('x')")

    assert "is_successful" not in lai.get_session("exit-session-123").fields


def test_killed_process_loses_nothing():
    """kill -9 keeps every finished span; the session is closed as died by the next process."""
    done = run(WORK.format(options="") + "os.kill(os.getpid(), signal.SIGKILL)")
    stored = lai.get_session("exit-session-123")

    assert (-signal.SIGKILL, 20, "died") == (done.returncode, stored.spans, stored.state)


def test_explicit_end_is_the_only_end():
    """A session ended by hand is not ended again at exit: its verdict stays."""
    run(WORK.format(options="") + "lai.end_session(is_successful=True)")

    assert lai.get_session("exit-session-123").fields["is_successful"] is True


def test_nested_blocks_end_when_the_process_is_left_inside_them():
    """sys.exit inside nested blocks ends each session once, and keeps the code."""
    done = run(
        "import lucidic as lai, sys\n"
        "with lai.session(session_id='outer-session-12'), lai.session(session_id='inner-session-12'):\n"
        "    lai.create_step(state='open')\n"
        "    sys.exit(4)"
    )
    outer, inner = (lai.get_session(f"{name}-session-12") for name in ("outer", "inner"))

    assert (4, "finished", "finished") == (done.returncode, outer.state, inner.state)
    assert (1, False) == (inner.spans, inner.fields["is_successful"])


def test_forked_child_does_not_end_its_parents_session():
    """A child that exits leaves the parent's session open, and its own spans are in it."""
    done = run(
        WORK.format(options="")
        + """
child = os.fork()
if child == 0:
    lai.create_step(state="child")
    lai.end_step()
    sys.exit(0)
os.waitpid(child, 0)
print(lai.get_session("exit-session-123").state)
"""
    )

    assert "active" == done.stdout.strip()
    assert (21, "finished") == (
        lai.get_session("exit-session-123").spans,
        lai.get_session("exit-session-123").state,
    )


def test_open_spans_are_counted_while_others_start(captured):
    """Spans that start while the process winds up do not keep those that were open from being found."""
    lai.init("x")
    tracer = trace.get_tracer("t")
    held = [tracer.start_span(f"open {number}") for number in range(3)]

    def start_one_more(_frame, event, _argument):
        if event == "call":
            sys.setprofile(None)
            held.append(tracer.start_span("late"))
            sys.setprofile(start_one_more)

    sys.setprofile(start_one_more)
    try:
        found = runtime().processor.open_spans()
    finally:
        sys.setprofile(None)

    assert {"open 0", "open 1", "open 2"} <= {state.span.name for state in found}
    for span in held:
        span.end()
