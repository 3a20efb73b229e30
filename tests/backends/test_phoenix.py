"""What Phoenix's pages show of our sessions."""

from __future__ import annotations

import json

import pytest

from .stories import ANSWERS, FAILURE, QUESTIONS, STORIES, USER
from .trees import TREES, tree


PRICES = {"prompt": 0.15e-6, "completion": 0.60e-6}
"""Dollars a token of the model in the stories, in Phoenix's own table."""


@pytest.mark.parametrize("kind", STORIES, ids=lambda kind: kind.name)
def test_a_conversation_is_one_session_of_readable_turns(to_phoenix, tell, stored, session_id, kind):
    """Three turns are three traces of one session: the user's words, the answer's words, user, error, tokens, cost."""
    story = tell(kind)
    to_phoenix.wait_for(session_id, len(stored(session_id)))
    shown = to_phoenix.session(session_id)

    roots = [trace["rootSpan"] for trace in shown["traces"]]
    assert [(root["input"], root["output"]) for root in roots] == [
        (_text(question), _text(answer)) for question, answer in zip(QUESTIONS, ANSWERS, strict=True)
    ]
    assert ["OK", "ERROR", "OK"] == [root["statusCode"] for root in roots]
    assert {USER} == {json.loads(root["attributes"])["user"]["id"] for root in roots}
    assert (session_id, USER, 3, 1) == (
        shown["sessionId"],
        shown["userId"],
        shown["numTraces"],
        shown["numTracesWithError"],
    )
    assert (_text(QUESTIONS[0]), _text(ANSWERS[2])) == (shown["firstInput"], shown["lastOutput"])
    usage = shown["tokenUsage"]
    assert story.tokens == usage["total"]
    cost = sum(usage[side] * price for side, price in PRICES.items())
    assert cost == pytest.approx(shown["costSummary"]["total"]["cost"])


@pytest.mark.parametrize("kind", STORIES, ids=lambda kind: kind.name)
def test_the_trees_of_a_conversation_are_whole(to_phoenix, tell, stored, session_id, kind):
    """Kinds, parents and errors are as the frameworks ran: one root a trace, nobody without a kind, nothing twice."""
    tell(kind)
    spans = to_phoenix.wait_for(session_id, len(stored(session_id)))

    assert TREES[kind.name] == tree(spans)
    for span in spans:
        assert span["start_time"] <= span["end_time"]
    (failed,) = [
        span
        for span in spans
        if span["name"] in ("weather", "execute_tool weather") and span["status_code"] == "ERROR"
    ]
    assert FAILURE in failed["status_message"]
    assert [FAILURE] == [
        event["attributes"]["exception.message"] for event in failed["events"] if event["name"] == "exception"
    ]


def _text(words):
    return None if words is None else {"value": words, "mimeType": "text"}
