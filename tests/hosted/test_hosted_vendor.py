"""The vendor's real 3.7.1 client against the fake, and the same story told by us."""

from __future__ import annotations

import contextlib
import json
import os
import subprocess
from pathlib import Path

import openai
import pytest

import lucidic as lai
from lucidic._runtime import runtime
from lucidic.testing import FakeLucidic, ScriptedServer


pytestmark = [pytest.mark.slow, pytest.mark.timeout(600)]

PACKAGE = "lucidicai==3.7.1"
STORY = Path(__file__).parent / "vendor" / "story.py"
QUIRKS = {"misc", "needs_blob"}
"""What only the vendor's client sends, or sends otherwise: copies of the session id, and a flag that is often missing."""


@pytest.fixture(scope="session")
def vendor_python(environment):
    """The Python of an environment with the vendor's client."""
    return environment(PACKAGE)


def _run(*command, **environment):
    keep = {
        name: value for name, value in os.environ.items() if not name.startswith(("LUCIDIC", "PYTHONPATH"))
    }
    done = subprocess.run(
        command, env={**keep, **environment}, capture_output=True, text=True, timeout=300, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done


@pytest.fixture(scope="session")
def theirs(vendor_python):
    """What the vendor's client sends for the story."""
    fake = FakeLucidic()
    with ScriptedServer() as provider, fake.serve() as url:
        _run(str(vendor_python), str(STORY), provider.openai_url, LUCIDIC_BASE_URL=url)
    return fake


@pytest.fixture
def ours(hosted):
    """What we send for the story."""
    with (
        ScriptedServer() as provider,
        lai.session(
            session_name="Order", session_id="story-1", task="buy a lamp", tags=["shop"], providers=["openai"]
        ),
    ):
        openai.OpenAI(base_url=provider.openai_url, api_key="none", max_retries=0).chat.completions.create(
            model="gpt-x",
            temperature=0.5,
            messages=[
                {"role": "system", "content": "Be brief."},
                {"role": "user", "content": "Is it in stock?"},
            ],
        )
        with contextlib.suppress(ValueError), tool("order", {"item": "lamp"}):
            with tool("lookup", {"item": "lamp"}) as span:
                span.set_attribute("output.value", '{"stock": 3}')
                span.set_attribute("output.mime_type", "application/json")
            raise ValueError("no stock")
        with runtime().provider().get_tracer("t").start_as_current_span("note"):
            pass
        with runtime().provider().get_tracer("t").start_as_current_span("large " + "x" * 100_000):
            pass
        lai.end_session(is_successful=True, is_successful_reason="sold", session_eval=0.9)
    assert lai.flush(20)
    return hosted


def tool(name, arguments):
    return (
        runtime()
        .provider()
        .get_tracer("t")
        .start_as_current_span(
            name,
            attributes={
                "openinference.span.kind": "TOOL",
                "tool.name": name,
                "input.value": json.dumps(arguments),
                "input.mime_type": "application/json",
            },
        )
    )


def test_vendor_is_accepted(theirs):
    """Everything that the real client sends is accepted: session, events of all types, upload, ends."""
    assert {request.status for request in theirs.requests} == {200}
    assert {event["type"] for event in theirs.events.values()} == {
        "llm_generation",
        "function_call",
        "error_traceback",
        "generic",
    }
    session = theirs.sessions["story-1"]
    assert session.is_finished
    assert session.fields["is_successful"] is True
    (large,) = [event for event in theirs.events.values() if event.get("uploaded")]
    assert len(large["payload"]["details"]) > 100_000


def test_vendor_understands_refusals(vendor_python):
    """The real client takes the fake's 401 for what it is."""
    fake = FakeLucidic()
    fake.denied["key-1"] = 401
    program = (
        "import lucidicai, lucidicai.core.errors\n"
        "try: lucidicai.LucidicAI(api_key='key-1', agent_id='a').sessions.create()\n"
        "except lucidicai.core.errors.APIKeyVerificationError as error: print('refused', error)"
    )
    with fake.serve() as url:
        done = _run(str(vendor_python), "-c", program, LUCIDIC_BASE_URL=url)
    assert "refused" in done.stdout


def test_vendor_takes_translated_ids(vendor_python):
    """The real client goes on with the id that the fake answers."""
    fake = FakeLucidic(translate=lambda given: f"backend-{given}")
    program = (
        "import lucidicai\n"
        "client = lucidicai.LucidicAI(api_key='key-1', agent_id='a')\n"
        "with client.sessions.create(session_id='mine') as session: client.events.create(details='x')\n"
    )
    with fake.serve() as url:
        _run(str(vendor_python), "-c", program, LUCIDIC_BASE_URL=url)
    assert len(fake.story("backend-mine")) == 1
    assert fake.sessions["backend-mine"].is_finished


def test_same_evaluations(vendor_python, hosted):
    """A score of a session is the evaluation that the real client makes of the same values."""
    fake = FakeLucidic()
    values = [("helpful", True), ("correct", 0.5), ("count", 3), ("mood", "good")]
    program = (
        "import sys, json, lucidicai, time\n"
        "client = lucidicai.LucidicAI(api_key='key-1', agent_id='agent-1')\n"
        "with client.sessions.create(session_id='story-1'):\n"
        "    for name, value in json.loads(sys.argv[1]):\n"
        "        client.evals.emit(result=value, name=name, description='because')\n"
        "client.close()\n"
    )
    with fake.serve() as url:
        _run(str(vendor_python), "-c", program, json.dumps(values), LUCIDIC_BASE_URL=url)
    for name, value in values:
        lai.score("story-1", name, value, "because")
    assert lai.flush(20)
    # The real client sends each from a thread of its own, in any order.
    theirs = sorted(fake.sessions["story-1"].evals, key=lambda each: each["name"])
    assert len(theirs) == len(values)
    assert sorted(hosted.sessions["story-1"].evals, key=lambda each: each["name"]) == theirs


def test_same_calls(theirs, ours):
    """For the same story the same requests are made, but for the key's check, repeated ends and the order of events."""
    assert _calls(ours) == _calls(theirs)
    assert ours.calls("initsession", "events", "updatesession")[-1] == ("PUT", "updatesession")
    bodies = [_body(fake, "initsession") for fake in (ours, theirs)]
    assert bodies[0] == bodies[1]
    ends = [_body(fake, "updatesession") for fake in (ours, theirs)]
    assert ends[0] == ends[1]


def test_same_fields(theirs, ours):
    """Each event has at least the fields of the real client's, of the same types, with the same values."""
    known, own = _by_name(theirs), _by_name(ours)
    assert known.keys() == own.keys()
    for name, event in known.items():
        _covers(name, event, own[name])
    order = known["function_call", "order"], own["function_call", "order"]
    for events, (parent) in zip((known, own), order, strict=True):
        for name in (("function_call", "lookup"), ("error_traceback", "no stock")):
            assert events[name]["client_parent_event_id"] == parent["client_event_id"]
    assert order[1]["payload"]["return_value"] == order[0]["payload"]["return_value"]
    assert order[1]["payload"]["error"] == order[0]["payload"]["error"]
    calls = [events["llm_generation", "gpt-x"]["payload"] for events in (known, own)]
    assert calls[1]["request"] == calls[0]["request"]
    assert calls[1]["response"]["output"] == calls[0]["response"]["output"]
    for count in ("input_tokens", "output_tokens"):
        assert calls[1]["usage"][count] == calls[0]["usage"][count]


def _calls(fake):
    found = [(method, path.partition("blobs/")[1] or path) for method, path in fake.calls()]
    once = {("GET", "sessions"), ("PUT", "updatesession")}
    return sorted(call for call in found if call not in once) + [("PUT", "updatesession")]


def _body(fake, path):
    """Return the last body sent to a path, without its time."""
    body = [request.body for request in fake.requests if request.path == path][-1]
    return {name: value for name, value in body.items() if name != "current_time"}


def _by_name(fake):
    named = {
        "llm_generation": lambda payload: payload["request"]["model"],
        "function_call": lambda payload: payload["function_name"],
        "error_traceback": lambda payload: payload["error"],
        "generic": lambda payload: payload["details"][:5],
    }
    return {(event["type"], named[event["type"]](event["payload"])): event for event in fake.story("story-1")}


def _covers(place, wanted, given):
    for name, value in wanted.items():
        if name in QUIRKS or (name == "session_id" and place[0] == "generic"):
            continue
        where = (*place, name)
        assert name in given, where
        if isinstance(value, dict) and name != "arguments":
            _covers(where, value, given[name])
        elif value is not None and given[name] is not None:
            assert type(given[name]) is type(value), where
