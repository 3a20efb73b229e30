"""Phoenix and MLflow are slow, away or killed while spans come: afterwards every span is there, once."""

from __future__ import annotations

import signal
import subprocess
import sys

from opentelemetry import trace

import lucidic as lai

from .process import replay


def make_turns(session_id, count, name="turn"):
    """Make turns of 20 spans each, in one session."""
    tracer = trace.get_tracer("shop")
    with lai.bind_session(session_id):
        for number in range(count):
            with tracer.start_as_current_span(f"{name} {number}"):
                for _ in range(19):
                    tracer.start_span("step").end()


def held(phoenix, session_id, count):
    """Return the ids of a session's spans once there are so many of them; none is there twice."""
    spans = [span["context"]["span_id"] for span in phoenix.wait_for(session_id, count)]
    assert len(spans) == len(set(spans))
    return set(spans)


def test_a_full_queue_delays_and_loses_nothing(to_phoenix, stored, session_id):
    """A Phoenix that answers 503 because its queue is full has every span in the end."""
    to_phoenix.end(signal.SIGINT)
    to_phoenix.start(PHOENIX_MAX_SPANS_QUEUE_SIZE="1")
    make_turns(session_id, 30)

    assert lai.flush(120)
    refused = to_phoenix.log().count(" 503 ")
    assert refused
    assert held(to_phoenix, session_id, 600) == {span.span_id for span in stored(session_id)}
    to_phoenix.end(signal.SIGINT)
    to_phoenix.start()


def test_a_restart_is_waited_for(to_phoenix, stored, session_id):
    """What ends while Phoenix is away is there after it has come back, without anybody's doing."""
    make_turns(session_id, 1)
    assert lai.flush(60)
    held(to_phoenix, session_id, 20)
    to_phoenix.end(signal.SIGINT)
    make_turns(session_id, 1, "meanwhile")
    assert not lai.flush(1)
    to_phoenix.start()

    assert lai.flush(60)
    assert held(to_phoenix, session_id, 40) == {span.span_id for span in stored(session_id)}


def test_what_a_killed_phoenix_had_only_queued_is_replayed(to_phoenix, stored, session_id):
    """Phoenix acknowledges what it has queued; what it had not stored when it was killed, ``lucidic replay`` brings back."""
    make_turns(session_id, 39)
    lai.flush(0.5)
    to_phoenix.end(signal.SIGKILL)
    make_turns(session_id, 1, "meanwhile")
    to_phoenix.start()
    assert lai.flush(60)
    wanted = {span.span_id for span in stored(session_id)}
    assert 800 == len(wanted)

    assert "800 spans delivered" in replay(session_id, to_phoenix.url)
    assert held(to_phoenix, session_id, 800) == wanted
    assert 0 == sum(sink.unexplained for sink in lai.health().sinks)


def test_a_killed_mlflow_has_everything_after_its_restart(to_mlflow, experiment, stored, session_id):
    """MLflow stores before it answers: what comes back after a kill needs no replay."""
    make_turns(session_id, 39)
    lai.flush(0.5)
    to_mlflow.end(signal.SIGKILL)
    make_turns(session_id, 1, "meanwhile")
    to_mlflow.start()

    assert lai.flush(120)
    traces = to_mlflow.session(experiment, session_id)
    assert {span.trace_id for span in stored(session_id)} == {trace["trace_id"][3:] for trace in traces}
    assert {"OK"} == {trace["state"] for trace in traces}


CRASH = """
import os, signal, sys
import lucidic as lai
from lucidic.adapterkit import AdapterOptions, io_attributes, make_tracer

tracer = make_tracer("crash", AdapterOptions(session_id=sys.argv[1]))
for question in ("first", "second"):
    agent = tracer.start("guide", "AGENT", attributes=io_attributes(question))
    tracer.start("look", "TOOL", parent=agent).end()
    if question == "second":
        os.kill(os.getpid(), signal.SIGKILL)
    agent.end(attributes=io_attributes(output="answer"))
"""


def test_a_killed_program_leaves_whole_spans(to_phoenix, session_id):
    """What a program had finished when it was killed is there; what was running is sent once, when it is closed."""
    done = subprocess.run([sys.executable, "-c", CRASH, session_id], timeout=60, check=False)
    assert -signal.SIGKILL == done.returncode
    lai.init()
    lai.flush(20)

    spans = to_phoenix.wait_for(session_id, 4)
    assert ["guide", "look", "guide", "look"] == [span["name"] for span in spans]
    assert [None, None, True, None] == [span["attributes"].get("lucidic.incomplete") for span in spans]
    assert all(span["end_time"] >= span["start_time"] for span in spans)
    shown = to_phoenix.session(session_id)
    # The journal's record of a span that begins holds no content.
    assert ["first", None] == [(trace["rootSpan"]["input"] or {}).get("value") for trace in shown["traces"]]
