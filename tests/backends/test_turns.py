"""Turns that are not the usual ones, in Phoenix and MLflow at once."""

from __future__ import annotations

import json
import uuid
from pathlib import Path

import pytest
from opentelemetry import trace
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.trace import SpanKind

import lucidic as lai
from lucidic import sinks

from .turns import hold_turn


@pytest.fixture
def to_both(phoenix, mlflow, experiment, monkeypatch):
    """Send this process's spans to both backends, spans that others call for as roots."""
    monkeypatch.setenv("LUCIDIC_OTLP_LOCAL_ROOTS", "true")
    lai.add_sink(sinks.otlp(phoenix.url))
    lai.add_sink(sinks.otlp(mlflow.url, headers={"x-mlflow-experiment-id": experiment}))


@pytest.mark.parametrize("called", [False, True], ids=["a request", "a request from a gateway that traces"])
def test_a_request_is_a_readable_turn(to_both, phoenix, mlflow, experiment, session_id, called):
    """Under an HTTP server's span, with a remote parent or without, both show the user's words and the answer's."""
    carrier = {"traceparent": f"00-{uuid.uuid4().hex}-b7ad6b7169203331-01"} if called else {}
    tracer = trace.get_tracer("opentelemetry.instrumentation.fastapi")
    with lai.extract(carrier), tracer.start_as_current_span("POST /chat", kind=SpanKind.SERVER):
        with lai.bind_session(session_id), tracer.start_as_current_span("POST /chat http receive"):
            hold_turn("Where is my order?", "On its way.")
    assert lai.flush(60)
    phoenix.wait_for(session_id, 4)

    shown = phoenix.session(session_id)
    assert ("Where is my order?", "On its way.") == (
        shown["firstInput"]["value"],
        shown["lastOutput"]["value"],
    )
    (turn,) = shown["traces"]
    assert ("POST /chat", "Where is my order?", "On its way.") == (
        turn["rootSpan"]["name"],
        turn["rootSpan"]["input"]["value"],
        turn["rootSpan"]["output"]["value"],
    )
    (seen,) = mlflow.session(experiment, session_id)
    assert ("OK", '"Where is my order?"', '"On its way."') == (
        seen["state"],
        seen["request_preview"],
        seen["response_preview"],
    )


ODD_IDS = {
    "padded": "  {} ",
    "unicode": "Bestellung Nr. 7 für 小林 {}",
    "slash": "shop/orders/{}",
    "quotes": 'o\'clock "{}" \\ %',
    "long": "{}" + "x" * 200,
}


@pytest.mark.parametrize("form", ODD_IDS.values(), ids=ODD_IDS)
def test_an_odd_id_arrives_as_it_was_given(to_both, phoenix, mlflow, experiment, session_id, form):
    """Ids are kept exactly as given; Phoenix shows them without the blanks around them."""
    odd = form.format(session_id)
    with lai.bind_session(odd):
        hold_turn("question", "answer")
    assert lai.flush(60)

    phoenix.until(lambda: odd.strip() in phoenix.session_ids())
    (seen,) = mlflow.traces(experiment)
    assert odd == seen["trace_metadata"]["mlflow.trace.session"]


def test_a_long_history_keeps_what_the_pages_need(to_both, phoenix, mlflow, experiment, session_id):
    """A call with 150 messages on the user's own plain provider has session, kind, model and last message in both."""
    with lai.bind_session(session_id):
        hold_turn("question", "answer", history=150, tracer_provider=TracerProvider(shutdown_on_exit=False))
    assert lai.flush(60)
    (call,) = [span for span in phoenix.wait_for(session_id, 2) if span["name"] == "chat"]
    (seen,) = mlflow.session(experiment, session_id)
    ((_, kept),) = [each for each in mlflow.spans(seen["trace_id"]) if each[1]["name"] == "chat"]

    assert "LLM" == call["span_kind"]
    for attributes in (call["attributes"], {key: _plain(text) for key, text in kept["attributes"].items()}):
        assert session_id == attributes["session.id"] == attributes["lucidic.session_id"]
        assert ("gpt-4o-mini", "message 149", "question") == (
            attributes["llm.model_name"],
            attributes["llm.input_messages.149.message.content"],
            attributes["llm.input_messages.150.message.content"],
        )


def test_a_block_of_another_session_inside_a_turn_takes_nothing_from_it(
    to_both, phoenix, mlflow, experiment, session_id
):
    """Backends fix a trace's session by the span that arrives first, an inner one: so no trace has two."""
    inner = f"inner-{session_id}"
    with lai.bind_session(session_id), trace.get_tracer("job").start_as_current_span("job"):
        with lai.bind_session(inner):
            hold_turn("inside?", "inside.")
        hold_turn("outside?", "outside.")
    assert lai.flush(60)
    phoenix.wait_for(session_id, 3)
    phoenix.wait_for(inner, 2)

    for found, words in ((session_id, ("outside?", "outside.")), (inner, ("inside?", "inside."))):
        shown = phoenix.session(found)
        assert (1, *words) == (shown["numTraces"], shown["firstInput"]["value"], shown["lastOutput"]["value"])
        (seen,) = mlflow.session(experiment, found)
        assert words == (json.loads(seen["request_preview"]), json.loads(seen["response_preview"]))


def test_hidden_content_reaches_no_backend(to_both, phoenix, mlflow, session_id, monkeypatch):
    """Without content not a byte of what was said, called, found or raised is in the backends' files."""
    canary = f"canary-{uuid.uuid4().hex}"
    lai.init(session_id=session_id, capture_content=False)
    more = {
        "llm.invocation_parameters": json.dumps({"stop": [canary]}),
        "llm.tools.0.tool.json_schema": json.dumps({"description": canary}),
        "llm.prompt_template.template": canary,
        "llm.prompt_template.variables": json.dumps({"word": canary}),
        "tool.parameters": json.dumps({"word": canary}),
        "tool.description": canary,
        "retrieval.documents.0.document.content": canary,
        "gen_ai.input.messages": json.dumps([canary]),
    }
    with pytest.raises(RuntimeError), trace.get_tracer("job").start_as_current_span("job"):
        hold_turn(canary, canary, more=more)
        raise RuntimeError(canary)
    assert lai.flush(60)
    phoenix.wait_for(session_id, 3)

    for backend in (phoenix, mlflow):
        kept = b"".join(file.read_bytes() for file in _files(backend.folder))
        assert session_id.encode() in kept
        assert canary.encode() not in kept


def test_sessions_of_two_projects_stay_apart(phoenix, monkeypatch):
    """The ids that are made here are unique over all projects, as Phoenix wants them: each project has its session."""
    made = {}
    for project in ("shop", "bank"):
        monkeypatch.setenv("LUCIDIC_OTLP_ENDPOINT", phoenix.url)
        monkeypatch.setenv("OTEL_EXPORTER_OTLP_HEADERS", f"x-project-name={project}")
        with lai.session(session_name="the same name") as made[project]:
            hold_turn("question", "answer")
        assert lai.shutdown(60)

    for project, session_id in made.items():
        phoenix.wait_for(session_id, 2, project)
        assert project == phoenix.session(session_id)["project"]["name"]


def _plain(text):
    try:
        return json.loads(text)
    except ValueError:
        return text


def _files(folder: Path):
    return [path for path in folder.rglob("*") if path.is_file()]
