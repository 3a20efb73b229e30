"""Scores, long ids and OpenTelemetry's own messages, as the real servers take them."""

from __future__ import annotations

import json

import pytest
from opentelemetry import trace

import lucidic as lai
from lucidic import sinks

from .turns import hold_turn


@pytest.fixture
def scored(session_id):
    """Hold a turn, score session and span, and end the session with a verdict; return the span's id."""

    def hold():
        with lai.session(session_id=session_id):
            with trace.get_tracer("shop").start_as_current_span("turn") as span:
                hold_turn("question", "answer")
            lai.score(session_id, "helpful", True, "found the lamp")
            lai.score(span, "correctness", 0.8, annotator_kind="LLM", metadata={"judge": "gpt-4o"})
            lai.score(span, "tone", "cold", identifier="user-7")
            lai.score(span, "tone", "friendly", identifier="user-7")
            lai.end_session(is_successful=False, is_successful_reason="too late", session_eval=3.0)
        assert lai.flush(60)
        return f"{span.get_span_context().span_id:016x}"

    return hold


def test_scores_are_annotations_in_phoenix(to_phoenix, scored, session_id):
    """Scores of the session and its verdict are on its page, those of a span at the span, a repeated one once."""
    span_id = scored()
    shown = {each["name"]: each for each in to_phoenix.session(session_id)["sessionAnnotations"]}
    page = to_phoenix.get("/v1/projects/default/span_annotations", span_ids=span_id)
    at_span = {each["name"]: each for each in page["data"]}

    assert {"helpful", "success", "session_eval"} == shown.keys()
    assert ("found the lamp", 1.0) == (shown["helpful"]["explanation"], shown["helpful"]["score"])
    assert ("too late", 0.0) == (shown["success"]["explanation"], shown["success"]["score"])
    assert 3.0 == shown["session_eval"]["score"]
    assert 2 == len(page["data"])
    assert ("LLM", 0.8) == (
        at_span["correctness"]["annotator_kind"],
        at_span["correctness"]["result"]["score"],
    )
    assert "friendly" == at_span["tone"]["result"]["label"]


def test_scores_are_assessments_in_mlflow(to_mlflow, experiment, scored, session_id):
    """Scores of the session and its verdict are its assessments, those of a span at the span, a repeated one once."""
    scored()
    (seen,) = to_mlflow.session(experiment, session_id)
    told = {each["assessment_name"]: each for each in seen["assessments"]}

    assert 5 == len(seen["assessments"]) == len(told)
    assert {
        "helpful": True,
        "correctness": 0.8,
        "tone": "friendly",
        "success": False,
        "session_eval": 3.0,
    } == {name: each["feedback"]["value"] for name, each in told.items()}
    assert "LLM_JUDGE" == told["correctness"]["source"]["source_type"]
    assert "found the lamp" == told["helpful"]["rationale"]


def test_an_id_that_is_too_long_for_mlflow_costs_nothing(to_mlflow, experiment, session_id):
    """MLflow refuses a batch with an id over 250 characters; it gets a shorter one, and every span."""
    long = session_id + "x" * 300
    with lai.bind_session(long):
        hold_turn("long", "answer")
    with lai.bind_session(session_id):
        hold_turn("short", "answer")
    assert lai.flush(60)

    traces = to_mlflow.traces(experiment)
    sessions = {json.loads(each["request_preview"]): each["trace_metadata"] for each in traces}
    assert session_id == sessions["short"]["mlflow.trace.session"]
    shortened = sessions["long"]["mlflow.trace.session"]
    assert 250 == len(shortened)
    assert shortened.startswith(session_id)
    assert 0 == sum(sink.rejected for sink in lai.health().sinks)


def test_opentelemetrys_messages_say_the_same(phoenix, mlflow, experiment, session_id):
    """With ``gen_ai`` asked for, both backends show what they show without it: the same words, tokens and session."""
    lai.add_sink(sinks.otlp(phoenix.url, conventions=["gen_ai"]))
    lai.add_sink(
        sinks.otlp(mlflow.url, headers={"x-mlflow-experiment-id": experiment}, conventions=["gen_ai"])
    )
    tokens = {"llm.token_count.prompt": 20, "llm.token_count.completion": 5, "llm.token_count.total": 25}
    with lai.bind_session(session_id):
        hold_turn("Where is it?", "On its way.", history=2, more=tokens)
    assert lai.flush(60)
    agent, call = phoenix.wait_for(session_id, 2)
    shown = phoenix.session(session_id)
    (seen,) = mlflow.session(experiment, session_id)

    assert ("Where is it?", "On its way.") == (shown["firstInput"]["value"], shown["lastOutput"]["value"])
    assert 25 == shown["tokenUsage"]["total"]
    assert 25 == json.loads(seen["trace_metadata"]["mlflow.trace.tokenUsage"])["total_tokens"]
    assert ('"Where is it?"', '"On its way."') == (seen["request_preview"], seen["response_preview"])
    for span in (agent, call):
        assert session_id == span["attributes"]["gen_ai.conversation.id"]
        assert "Where is it?" in str(span["attributes"]["gen_ai.input.messages"])
        assert "On its way." in str(span["attributes"]["gen_ai.output.messages"])
    assert (20, 5) == (
        call["attributes"]["gen_ai.usage.input_tokens"],
        call["attributes"]["gen_ai.usage.output_tokens"],
    )
