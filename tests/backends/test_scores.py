"""What people think of sessions and spans, as the real backends show it."""

from __future__ import annotations

import time

import pytest

import lucidic as lai
from lucidic import sinks
from lucidic._runtime import runtime


@pytest.fixture
def turns(session_id):
    """Hold a conversation of two turns, and return the turns' spans."""

    def held():
        tracer = runtime().provider().get_tracer("tests")
        lai.init(session_id=session_id)
        spans = []
        began = time.time_ns() - 2_000_000_000
        for turn in range(2):
            with tracer.start_as_current_span(
                "turn",
                attributes={"openinference.span.kind": "AGENT"},
                # MLflow tells traces of one millisecond apart by their ids.
                start_time=began + turn * 1_000_000_000,
            ) as span:
                spans.append(span)
        return spans

    return held


def judge(session_id, span):
    lai.score(session_id, "helpful", True, "found it", identifier="user-7")
    lai.score(session_id, "helpful", False, "wrong after all", identifier="user-7")
    lai.score(session_id, "mood", "good")
    lai.score(span, "correct", 0.5, "half", annotator_kind="LLM", metadata={"judge": "m"})
    lai.end_session(session_id, is_successful=True, is_successful_reason="sold", session_eval=0.9)
    assert lai.flush(60)


def test_phoenix_shows_annotations(to_phoenix, turns, session_id):
    """Scores and the verdict of the end are annotations of Phoenix's session and span, and make no turn."""
    spans = turns()
    judge(session_id, spans[1])
    page = to_phoenix.session(session_id)
    shown = {each["name"]: each for each in page["sessionAnnotations"]}
    assert shown == {
        "helpful": {"name": "helpful", "label": "false", "score": 0.0, "explanation": "wrong after all"},
        "mood": {"name": "mood", "label": "good", "score": None, "explanation": None},
        "success": {"name": "success", "label": "true", "score": 1.0, "explanation": "sold"},
        "session_eval": {"name": "session_eval", "label": None, "score": 0.9, "explanation": None},
    }
    assert page["numTraces"] == 2
    span_id = f"{spans[1].get_span_context().span_id:016x}"
    (found,) = to_phoenix.get("/v1/projects/default/span_annotations", span_ids=span_id)["data"]
    assert (found["name"], found["annotator_kind"], found["metadata"]) == ("correct", "LLM", {"judge": "m"})
    assert found["result"] == {"label": None, "score": 0.5, "explanation": "half"}


def test_mlflow_shows_assessments(to_mlflow, experiment, turns, session_id):
    """Scores and the verdict of the end are assessments: the session's of its first trace, the span's of its own."""
    spans = turns()
    judge(session_id, spans[1])
    traces = to_mlflow.session(experiment, session_id)
    assert len(traces) == 2
    told = [
        to_mlflow.get(f"/api/3.0/mlflow/traces/{trace['trace_id']}")["trace"]["trace_info"]["assessments"]
        for trace in traces
    ]
    assert {each["assessment_name"]: each["feedback"]["value"] for each in told[0]} == {
        "helpful": False,
        "mood": "good",
        "success": True,
        "session_eval": 0.9,
    }
    assert {each["metadata"]["mlflow.trace.session"] for each in told[0]} == {session_id}
    (found,) = told[1]
    assert found["span_id"] == f"{spans[1].get_span_context().span_id:016x}"
    assert (found["feedback"]["value"], found["rationale"]) == (0.5, "half")
    assert found["source"]["source_type"] == "LLM_JUDGE"


def test_mlflow_takes_ids_that_are_too_long_for_it(to_mlflow, experiment, turns):
    """A session id above MLflow's limit costs no span: the traces are together under a shorter one."""
    given = "x" * 400
    tracer = runtime().provider().get_tracer("tests")
    with lai.session(session_id=given):
        for _ in range(2):
            tracer.start_span("turn").end()
    lai.score(given, "helpful", True)
    assert lai.flush(60)
    (shorter,) = {trace["trace_metadata"]["mlflow.trace.session"] for trace in to_mlflow.traces(experiment)}
    assert len(shorter) == 250
    assert len(to_mlflow.session(experiment, shorter)) == 2


def test_two_backends_each_get_their_own(phoenix, mlflow, experiment, turns, session_id):
    """One program's scores are in both backends at once, each in its form."""
    lai.add_sink(sinks.otlp(phoenix.url))
    lai.add_sink(sinks.otlp(mlflow.url, headers={"x-mlflow-experiment-id": experiment}))
    judge(session_id, turns()[1])
    assert len(phoenix.session(session_id)["sessionAnnotations"]) == 4
    (first, _) = mlflow.session(experiment, session_id)
    told = mlflow.get(f"/api/3.0/mlflow/traces/{first['trace_id']}")["trace"]["trace_info"]["assessments"]
    assert len(told) == 4
