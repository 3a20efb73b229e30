"""Events that may go in any order are sent several at a time, and what must not be is not."""

from __future__ import annotations

import threading

import pytest
from hosted_rig import CONFIG, Rig

import lucidic as lai
from lucidic._export._hosted_config import HostedConfig
from lucidic._export._hosted_crew import HANDS
from lucidic._export._hosted_sink import HostedSink
from lucidic._runtime import runtime
from lucidic.testing import FakeLucidic


class Meeting(FakeLucidic):
    """Answers an event only once as many are under way as there are hands."""

    def __init__(self):
        super().__init__()
        self.barrier = threading.Barrier(HANDS)
        self.meet = False

    def respond(self, method, target, *rest):
        if self.meet and target.endswith("/events"):
            self.barrier.wait(20)
        return super().respond(method, target, *rest)


@pytest.fixture
def make(tmp_path):
    made = []

    def rig(fake):
        made.append(Rig(fake, tmp_path))
        return made[-1]

    yield rig
    for each in made:
        each.fake.heal()
        each.exporter.shutdown(5)


def test_events_are_sent_several_at_a_time(make):
    """A backend that answers only several requests at once gets them; the end still comes last."""
    rig = make(Meeting())
    rig.session("start")
    assert rig.exporter.flush(10)
    rig.fake.meet = True
    rig.spans(HANDS * 5)
    rig.session("end")
    assert rig.exporter.flush(20)
    rig.stored_once(HANDS * 5)
    assert rig.fake.sessions["s"].late_events == 0
    assert rig.fake.calls()[-1] == ("PUT", "updatesession")


def test_many_events_need_few_threads(make):
    """A thousand events of many sessions are sent by the same few threads, each once."""
    rig = make(FakeLucidic())
    for session in range(20):
        rig.session("start", f"s{session}")
        rig.spans(50, f"s{session}")
    assert rig.exporter.flush(60)
    hands = [each for each in threading.enumerate() if each.name.startswith("lucidic-events-")]
    assert len(hands) <= HANDS
    assert len(rig.fake.events) == 1000
    assert rig.fake.repeats == {}
    assert rig.exporter.health().unexplained == 0


@pytest.mark.parametrize(
    "fault",
    [{"status": 503}, {"status": 429, "retry_after": "0"}, {"status": 500}, {"status": 404}],
    ids=["503", "429", "500", "forgotten"],
)
def test_what_does_not_get_through_is_sent_again(make, fault):
    """Failures of some of many requests cost nothing: every event is stored once."""
    rig = make(FakeLucidic())
    rig.session("start")
    assert rig.exporter.flush(10)
    rig.fake.fail("events", times=7, **fault)
    rig.spans(60)
    rig.session("end")
    assert rig.exporter.flush(30)
    rig.stored_once(60)
    assert rig.fake.sessions["s"].late_events == 0


def test_poison_among_many(make):
    """One event that is refused for good goes to the quarantine, and the others arrive."""
    fake = FakeLucidic()
    rig = make(fake)
    original = fake.respond

    def picky(method, target, query, headers, content):
        if target.endswith("/events") and b"s-7" in content:
            return original(method, target, query, headers, b"{}")
        return original(method, target, query, headers, content)

    fake.respond = picky
    rig.session("start")
    assert rig.exporter.flush(10)
    rig.spans(40)
    assert rig.exporter.flush(20)
    assert (rig.book.delivered, rig.book.rejected, rig.book.pending) == (39, 1, 0)
    assert rig.exporter.health().unexplained == 0


def test_another_key_is_everybodys(make):
    """A key that is renewed is used for what is sent several at a time, too."""
    rig = make(FakeLucidic())
    rig.session("start")
    rig.spans(20)
    assert rig.exporter.flush(10)
    rig.fake.denied["k"] = 401
    for session in rig.fake.sessions.values():
        session.key = "good"
    other = HostedConfig(api_key="good", agent_id="a", base_url=CONFIG.base_url)
    rig.exporter.add_sink(HostedSink(other, rig.exporter.home / "hosted"))
    before = len(rig.fake.requests)
    rig.spans(20)
    assert rig.exporter.flush(10)
    assert {request.status for request in rig.fake.requests[before:]} == {200}


def test_scores_are_evaluations(hosted):
    """A session's score is one of its evaluations and an event, a span's an event below the span's."""
    with lai.session(session_id="user_1_conv_1"):
        with runtime().provider().get_tracer("t").start_as_current_span("turn") as span:
            pass
    for name, value in (("helpful", True), ("correct", 0.5), ("mood", "good")):
        lai.score("user_1_conv_1", name, value, "because")
    lai.score("user_1_conv_1", "count", 3)
    lai.score(span, "concise", True, "one line")
    assert lai.flush(10)
    assert hosted.sessions["user_1_conv_1"].evals == [
        {"result": True, "result_type": "boolean", "name": "helpful", "description": "because"},
        {"result": 0.5, "result_type": "number", "name": "correct", "description": "because"},
        {"result": "good", "result_type": "string", "name": "mood", "description": "because"},
        {"result": 3, "result_type": "number", "name": "count"},
    ]
    by_name = {event["payload"]["details"]: event for event in hosted.story("user_1_conv_1")}
    below, above = by_name["score concise"], by_name["turn"]
    assert below["client_parent_event_id"] == above["client_event_id"]
    assert below["payload"]["attributes"]["annotations.0.annotation.explanation"] == "one line"
    assert by_name["score helpful"]["payload"]["kind"] == "EVALUATOR"
    assert hosted.sessions["user_1_conv_1"].is_finished
    assert hosted.calls()[-1] == ("PUT", "updatesession")
