"""What MLflow's pages read of our sessions."""

from __future__ import annotations

import json

import pytest

from .stories import ANSWERS, QUESTIONS, STORIES, USER


@pytest.mark.parametrize("kind", STORIES, ids=lambda kind: kind.name)
def test_a_conversation_is_one_session_of_readable_turns(to_mlflow, experiment, tell, session_id, kind):
    """Three turns are three traces of one session: the user's words, the answer's words, user, end state, tokens, cost."""
    story = tell(kind)
    traces = to_mlflow.session(experiment, session_id)

    assert list(QUESTIONS) == [json.loads(trace["request_preview"]) for trace in traces]
    assert list(ANSWERS) == [json.loads(trace.get("response_preview", "null")) for trace in traces]
    assert ["OK", "ERROR", "OK"] == [trace["state"] for trace in traces]
    told = [trace["trace_metadata"] for trace in traces]
    assert {USER} == {each["mlflow.trace.user"] for each in told}
    assert story.tokens == sum(json.loads(each["mlflow.trace.tokenUsage"])["total_tokens"] for each in told)
    assert all(json.loads(each["mlflow.trace.cost"])["total_cost"] > 0 for each in told)


@pytest.mark.parametrize("kind", STORIES, ids=lambda kind: kind.name)
def test_every_span_shows_what_went_in_and_came_out(to_mlflow, experiment, tell, session_id, kind):
    """Model calls have both sides where MLflow reads them, and a tool's run has the id of the call that asked for it."""
    tell(kind)
    traces = to_mlflow.session(experiment, session_id)
    spans = [span["attributes"] for trace in traces for _, span in to_mlflow.spans(trace["trace_id"])]
    calls = [span for span in spans if span["mlflow.spanType"] == '"LLM"']
    tools = [span for span in spans if span["mlflow.spanType"] == '"TOOL"']

    assert calls
    assert all("mlflow.spanInputs" in span and "mlflow.spanOutputs" in span for span in calls)
    asked = {value for span in calls for key, value in span.items() if key.endswith("tool_call.id")}
    assert tools
    assert {span["tool.id"] for span in tools} <= asked
    assert '"UNKNOWN"' not in {span["mlflow.spanType"] for span in spans}
