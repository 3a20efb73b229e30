"""What people think of sessions and spans, in each backend's own form."""

from __future__ import annotations

import json
import logging

import pytest
from backend import MLflowREST, PhoenixREST

import lucidic as lai
from lucidic._export import Store
from lucidic._runtime import runtime
from lucidic.testing import validate_openinference


def hex_ids(span):
    context = span.get_span_context()
    return f"{context.trace_id:032x}", f"{context.span_id:016x}"


@pytest.mark.parametrize(
    ("value", "result"),
    [
        (True, {"score": 1.0, "label": "true"}),
        (False, {"score": 0.0, "label": "false"}),
        (0.25, {"score": 0.25}),
        (3, {"score": 3.0}),
        ("good", {"label": "good"}),
    ],
)
def test_phoenix_gets_annotations(backend, turn, value, result):
    """A session's and a span's scores are annotations of Phoenix, which is recognised by its answers."""
    phoenix = PhoenixREST(backend)
    span, _carrier = turn()
    identifier = lai.score("user_7_conv_1", "helpful", value, "because")
    lai.score(span, "correct", value, annotator_kind="LLM", metadata={"judge": "m"}, identifier="run-1")
    assert lai.flush(10)
    assert phoenix.kept["user_7_conv_1", "helpful", identifier] == {
        "session_id": "user_7_conv_1",
        "name": "helpful",
        "annotator_kind": "HUMAN",
        "result": {**result, "explanation": "because"},
        "metadata": {},
        "identifier": identifier,
    }
    _, span_id = hex_ids(span)
    assert phoenix.kept[span_id, "correct", "run-1"] == {
        "span_id": span_id,
        "name": "correct",
        "annotator_kind": "LLM",
        "result": result,
        "metadata": {"judge": "m"},
        "identifier": "run-1",
    }
    # Phoenix would show a carrier as a turn of its own.
    assert backend.spans.keys() == {"turn"}
    assert lai.health().unexplained == 0
    (otlp,) = [page for page in lai.health().sinks if page.name.startswith("otlp")]
    assert (otlp.produced, otlp.delivered, otlp.pending) == (3, 3, 0)


@pytest.mark.parametrize("target", ["span", "context", "carrier", "stored", "ended elsewhere"])
def test_spans_in_every_form(backend, turn, target):
    """A span is told by the span, its context, the store's record or a carrier, after its end and elsewhere too."""
    phoenix = PhoenixREST(backend)
    span, carrier = turn()
    assert lai.flush(10)
    forms = {
        "span": span,
        "context": span.get_span_context(),
        "carrier": carrier,
        "stored": Store(runtime().settings.home).spans("user_7_conv_1")[0],
        "ended elsewhere": {key.title(): value for key, value in carrier.items()},
    }
    lai.score(forms[target], "correct", 1, identifier="x")
    assert lai.flush(10)
    assert (hex_ids(span)[1], "correct", "x") in phoenix.kept
    stored = Store(runtime().settings.home).spans()
    (score,) = [each for each in stored if each.name == "score correct"]
    assert score.parent_span_id == hex_ids(span)[1]
    assert score.session_id == (None if target == "context" else "user_7_conv_1")


def test_the_session_of_a_bare_context_can_be_told(backend, turn):
    """Where a span does not say its session, the call does."""
    PhoenixREST(backend)
    span, _carrier = turn()
    lai.score(span.get_span_context(), "correct", 1, session_id="user_7_conv_1")
    assert lai.flush(10)
    assert {each.session_id for each in Store(runtime().settings.home).spans()} == {"user_7_conv_1"}


def test_verdicts_of_sessions_are_annotations(backend, tracer):
    """What ``end_session`` and ``update_session`` say of a session reaches Phoenix; a later verdict replaces it."""
    phoenix = PhoenixREST(backend)
    lai.init(session_id="user_7_conv_2")
    tracer().start_span("turn").end()
    lai.end_session(is_successful=True, is_successful_reason="sold", session_eval=0.9)
    lai.update_session("user_7_conv_2", session_eval=0.4, session_eval_reason="came back")
    assert lai.flush(10)
    success = phoenix.kept["user_7_conv_2", "success", "lucidic"]
    assert success["result"] == {"score": 1.0, "label": "true", "explanation": "sold"}
    evaluation = phoenix.kept["user_7_conv_2", "session_eval", "lucidic"]
    assert evaluation["result"] == {"score": 0.4, "explanation": "came back"}


def test_a_failing_block_is_a_verdict_too(backend, tracer):
    """The session of a block that raised is unsuccessful in Phoenix; one without spans is nothing there."""
    phoenix = PhoenixREST(backend, known={"user_7_conv_3"})
    for session_id, spans in (("user_7_conv_3", 1), ("user_7_conv_4", 0)):
        with pytest.raises(ValueError, match="no stock"), lai.session(session_id=session_id):
            for _ in range(spans):
                tracer().start_span("turn").end()
            raise ValueError("no stock")
    assert lai.flush(10)
    assert phoenix.kept.keys() == {("user_7_conv_3", "success", "lucidic")}


def test_phoenix_may_take_a_moment(backend, turn):
    """A score waits until Phoenix knows its session, through refusals, and is there once."""
    phoenix = PhoenixREST(backend, known=set())
    original = phoenix.answer
    asked = []

    def slow(method, path, query, body):
        asked.append(path)
        if len(asked) == 3:
            phoenix.known = None
            phoenix.down = 1
        return original(method, path, query, body)

    backend.rest = slow
    turn()
    lai.score("user_7_conv_1", "helpful", True)
    assert lai.flush(20)
    assert len(phoenix.kept) == 1
    assert len(asked) == 4


def test_what_nobody_knows_is_refused_in_the_end(backend, turn, monkeypatch):
    """A score of a session that Phoenix never had goes to the quarantine, and holds nothing up for ever."""
    from lucidic._export import _scores

    monkeypatch.setattr(_scores, "PATIENCE", 0.0)
    monkeypatch.setattr(_scores, "_SOON", ())
    phoenix = PhoenixREST(backend, known={"user_7_conv_1"})
    lai.score("somebody_elses", "helpful", True)
    lai.flush(10)
    turn()
    lai.score("user_7_conv_1", "helpful", True)
    lai.flush(10)
    assert [key[0] for key in phoenix.kept] == ["user_7_conv_1"]
    (otlp,) = [page for page in lai.health().sinks if page.name.startswith("otlp")]
    assert (otlp.delivered, otlp.rejected, otlp.pending, otlp.unexplained) == (2, 1, 0, 0)


def test_scores_survive_until_the_backend_is_back(backend, turn):
    """A score that was given while the backend was away is delivered by the next process."""
    phoenix = PhoenixREST(backend)
    phoenix.down = 10**6
    turn()
    lai.score("user_7_conv_1", "helpful", True)
    assert not lai.shutdown(0.3)
    phoenix.down = 0
    turn("user_7_conv_5")
    assert lai.flush(20)
    assert [key[:2] for key in phoenix.kept] == [("user_7_conv_1", "helpful")]


@pytest.fixture
def mlflow(backend, monkeypatch):
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_HEADERS", "x-mlflow-experiment-id=7")
    return lambda sessions: MLflowREST(backend, sessions)


@pytest.mark.parametrize("value", [True, 0.5, 2, "good"])
def test_mlflow_gets_assessments(backend, mlflow, turn, value):
    """Scores are assessments of the span, or of the session's first trace that names the session."""
    span, _ = turn()
    trace_id, span_id = hex_ids(span)
    rest = mlflow({"user_7_conv_1": [f"tr-{trace_id}", "tr-later"]})
    lai.score("user_7_conv_1", "helpful", value, "because", metadata={"page": 3})
    lai.score(span, "correct", value, annotator_kind="LLM")
    assert lai.flush(10)
    session, call = rest.kept[f"tr-{trace_id}"]
    assert session["feedback"] == {"value": value}
    assert session["rationale"] == "because"
    assert session["source"] == {"source_type": "HUMAN", "source_id": "lucidic"}
    assert session["metadata"]["mlflow.trace.session"] == "user_7_conv_1"
    assert session["metadata"]["page"] == "3"
    assert "span_id" not in session
    assert (call["span_id"], call["source"]["source_type"]) == (span_id, "LLM_JUDGE")
    assert "mlflow.trace.session" not in call["metadata"]
    assert backend.spans.keys() == {"turn"}


def test_mlflow_keeps_one_of_each(mlflow, turn):
    """An answer that got lost makes no second assessment, and a later score of one identifier replaces the earlier."""
    span, _ = turn()
    rest = mlflow({"user_7_conv_1": [f"tr-{hex_ids(span)[0]}"]})
    rest.drop_answers = 1
    lai.score("user_7_conv_1", "helpful", True, identifier="user-7")
    assert lai.flush(20)
    lai.score("user_7_conv_1", "helpful", False, identifier="user-7")
    assert lai.flush(20)
    (kept,) = rest.kept[f"tr-{hex_ids(span)[0]}"]
    assert kept["feedback"] == {"value": False}


def test_langfuse_gets_scores(backend, turn, monkeypatch):
    """Behind Langfuse's address scores are its own, with the ids under which it has session and span."""
    kept = {}

    def rest(method, path, _query, body):
        assert (method, path) == ("POST", "/api/public/scores")
        kept[body["id"]] = body
        return 200, {"id": body["id"]}

    backend.rest = rest
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", f"{backend.url}/api/public/otel")
    long = "ü" + "x" * 250
    span, _ = turn(long)
    for name, value in (("helpful", True), ("mood", "good"), ("correct", 0.5)):
        for _ in range(2):
            lai.score(long, name, value, "why", identifier="user-7")
    lai.score(span, "correct", 0.5)
    assert lai.flush(10)
    *of_session, of_span = kept.values()
    assert {each["sessionId"] for each in of_session} == {backend.spans["turn"]["langfuse.session.id"]}
    assert [(each["name"], each["value"], each["dataType"]) for each in of_session] == [
        ("helpful", 1, "BOOLEAN"),
        ("mood", "good", "CATEGORICAL"),
        ("correct", 0.5, "NUMERIC"),
    ]
    assert (of_span["traceId"], of_span["observationId"]) == hex_ids(span)


def test_elsewhere_scores_are_carrier_spans(backend, turn):
    """A backend without a form of its own gets OpenInference's annotations on carriers that break no rule."""
    span, _ = turn()
    lai.score("user_7_conv_1", "helpful", True, "because", identifier="user-7")
    lai.score(span, "correct", 0.5, annotator_kind="CODE", metadata={"a": 1})
    lai.end_session("user_7_conv_1")
    lai.update_session("user_7_conv_1", is_successful=False, is_successful_reason="gone")
    assert lai.flush(10)
    prefix = "session.annotations.0.annotation."
    assert {
        "openinference.span.kind": "EVALUATOR",
        "session.id": "user_7_conv_1",
        f"{prefix}name": "helpful",
        f"{prefix}score": 1.0,
        f"{prefix}label": "true",
        f"{prefix}explanation": "because",
        f"{prefix}annotator_kind": "HUMAN",
        f"{prefix}identifier": "user-7",
        "input.value": "helpful",
        "output.value": "true: because",
    }.items() <= backend.spans["score helpful"].items()
    called = backend.spans["score correct"]
    assert called["annotations.0.annotation.score"] == 0.5
    assert json.loads(called["annotations.0.annotation.metadata"]) == {"a": 1}
    assert backend.spans["score success"][f"{prefix}explanation"] == "gone"
    (carrier,) = [each for each in backend.otlp if each.name == "score correct"]
    (link,) = carrier.links
    ids = span.get_span_context()
    assert int.from_bytes(link.span_id, "big") == ids.span_id
    assert (carrier.trace_id, carrier.parent_span_id) == (link.trace_id, link.span_id)


def test_a_failing_session_costs_a_plain_endpoint_no_request(backend, tracer):
    """An endpoint that says nothing of itself with the spans is not asked, and gets no verdict of an error."""
    with pytest.raises(ValueError, match="no stock"), lai.session(session_id="user_7_conv_1"):
        tracer().start_span("turn").end()
        raise ValueError("no stock")
    assert lai.flush(10)
    assert (backend.posts, backend.spans.keys()) == (1, {"turn"})


def test_carriers_are_grouped_and_no_turns(backend, turn):
    """Carriers have the keys that a backend groups by, those of verdicts too, and none is marked as a turn."""
    lai.init(session_id="user_7_conv_2", conventions=["weave"])
    turn()
    lai.score("user_7_conv_1", "helpful", True)
    lai.update_session("user_7_conv_1", is_successful=True)
    assert lai.flush(10)
    assert "wandb.is_turn" in backend.spans["turn"]
    for name in ("score helpful", "score success"):
        assert backend.spans[name]["wandb.thread_id"] == "user_7_conv_1"
        assert "wandb.is_turn" not in backend.spans[name]


def test_carriers_are_openinference(captured, turn):
    """Carriers are what OpenInference's package itself writes, and its rules find nothing to say."""
    from openinference.instrumentation import get_annotation_attributes

    span, _ = turn()
    lai.score("user_7_conv_1", "helpful", True, "because", identifier="user-7", metadata={"a": 1})
    lai.score(span, "correct", 0.5, identifier="r")
    session, called = (captured.named(name).attributes for name in ("score helpful", "score correct"))
    given = {"name": "helpful", "score": 1.0, "label": "true", "explanation": "because"}
    more = {"annotator_kind": "HUMAN", "identifier": "user-7", "metadata": {"a": 1}}
    assert (
        get_annotation_attributes(annotations=[{**given, **more}], scope="session").items() <= session.items()
    )
    given = {"name": "correct", "score": 0.5, "annotator_kind": "HUMAN", "identifier": "r"}
    assert get_annotation_attributes(annotations=[given]).items() <= called.items()
    assert not [found for found in validate_openinference(captured.spans) if "score" in str(found)]


def test_masking_holds_for_scores(backend, tracer):
    """Comments and metadata are content: masked like all of it, and left out where content is."""
    lai.init(session_id="user_7_conv_1", masking_function=lambda text: text.replace("CANARY", "***"))
    lai.score(None, "mood", "CANARY", "said CANARY", metadata={"k": "CANARY"})
    lai.end_session(is_successful=True, is_successful_reason="CANARY")
    assert lai.flush(10)
    lai.shutdown()
    lai.init(session_id="user_7_conv_2", capture_content=False)
    lai.score(None, "tone", "good", "said CANARY", metadata={"k": "CANARY"})
    assert lai.flush(10)
    assert backend.spans["score mood"]["session.annotations.0.annotation.explanation"] == "said ***"
    assert backend.spans["score tone"]["session.annotations.0.annotation.label"] == "good"
    assert not [each.name for each in backend.otlp if b"CANARY" in each.SerializeToString()]


def test_scoring_says_nothing(backend, turn, caplog):
    """A score that Phoenix takes a moment for costs no line in the log."""
    phoenix = PhoenixREST(backend, known=set())
    original = phoenix.answer

    def slow(*given):
        answer = original(*given)
        phoenix.known = None
        return answer

    backend.rest = slow
    turn()
    with caplog.at_level(logging.WARNING):
        lai.score("user_7_conv_1", "helpful", True)
        assert lai.flush(10)
    assert len(phoenix.kept) == 1
    assert not caplog.records
