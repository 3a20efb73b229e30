"""What exported spans carry for backends that group by keys of their own."""

from __future__ import annotations

import json

import pytest

import lucidic as lai
from lucidic import sinks
from lucidic._config import CONVENTIONS as NAMES
from lucidic._export._conventions import CONVENTIONS, conventions_of
from lucidic.errors import ConfigurationError
from lucidic.testing import validate_openinference


CONTEXT = {
    "user_id": "user-7",
    "metadata": {"tier": "gold", "cart": {"items": 2}},
    "tags": ["shop", "eu"],
}
EXPECTED = {
    "langfuse": {
        "langfuse.session.id": "user_7_conv_1",
        "langfuse.user.id": "user-7",
        "langfuse.trace.tags": ["shop", "eu"],
        "langfuse.trace.metadata.tier": "gold",
        "langfuse.trace.metadata.cart": '{"items": 2}',
    },
    "langsmith": {
        "langsmith.metadata.session_id": "user_7_conv_1",
        "langsmith.metadata.user_id": "user-7",
        "langsmith.metadata.tier": "gold",
        "langsmith.span.tags": "shop,eu",
    },
    "logfire": {"logfire.tags": ["shop", "eu"], "gen_ai.conversation.id": "user_7_conv_1"},
    "weave": {"wandb.thread_id": "user_7_conv_1"},
    "opik": {
        "thread_id": "user_7_conv_1",
        "opik.tags": '["shop", "eu"]',
        "opik.metadata.tier": "gold",
        "opik.metadata.user_id": "user-7",
    },
    "traceloop": {
        "traceloop.association.properties.session_id": "user_7_conv_1",
        "traceloop.association.properties.user_id": "user-7",
        "traceloop.association.properties.tier": "gold",
    },
    "datadog": {"gen_ai.conversation.id": "user_7_conv_1", "session.id": "user_7_conv_1"},
    "mlflow": {"session.id": "user_7_conv_1"},
    "gen_ai": {"gen_ai.conversation.id": "user_7_conv_1"},
}
ON_TURNS = {
    "langfuse": {"langfuse.trace.name": "turn"},
    "langsmith": {"langsmith.trace.name": "turn"},
    "weave": {"wandb.is_turn": True},
    "traceloop": {
        "traceloop.span.kind": "workflow",
        "traceloop.workflow.name": "turn",
        "traceloop.entity.input": "Hi",
        "traceloop.entity.output": "Hello",
    },
    "datadog": {"dd_llmobs_enabled": True, "gen_ai.operation.name": "invoke_agent"},
}


def one_turn(tracer):
    """A turn with a tool of ours' kind and a foreign span below it."""
    with tracer().start_as_current_span(
        "turn", attributes={"openinference.span.kind": "AGENT", "input.value": "Hi", "output.value": "Hello"}
    ):
        with tracer().start_as_current_span(
            "look", attributes={"openinference.span.kind": "TOOL", "tool.name": "look"}
        ):
            pass
        with tracer().start_as_current_span("GET /"):
            pass


@pytest.mark.parametrize("name", NAMES)
def test_every_span_carries_the_aliases(backend, tracer, name):
    """Session, user, tags and metadata are on each span, foreign ones too, under the backend's own keys."""
    lai.init(session_id="user_7_conv_1", conventions=[name])
    with lai.using_attributes(**CONTEXT):
        one_turn(tracer)
    assert lai.flush(10)
    for span in ("turn", "look", "GET /"):
        assert EXPECTED[name].items() <= backend.spans[span].items()
    turn = ON_TURNS.get(name, {})
    assert turn.items() <= backend.spans["turn"].items()
    # What marks a turn is on no other span.
    assert (
        not {"langfuse.trace.name", "wandb.is_turn", "traceloop.workflow.name"} & backend.spans["look"].keys()
    )


def test_several_at_once_and_none_by_default(backend, tracer, monkeypatch):
    """The variable takes several names; without it not a single alias is written, here or in the local store."""
    lai.init(session_id="user_7_conv_1")
    one_turn(tracer)
    assert lai.flush(10)
    plain = backend.spans["look"]
    lai.shutdown()
    monkeypatch.setenv("LUCIDIC_CONVENTIONS", "Weave, opik")
    lai.init(session_id="user_7_conv_2")
    one_turn(tracer)
    assert lai.flush(10)
    added = backend.spans["look"].keys() - plain.keys()
    assert added == {"wandb.thread_id", "thread_id"}
    from lucidic._export import Store
    from lucidic._runtime import runtime

    for span in Store(runtime().settings.home).spans("user_7_conv_2"):
        assert not {"wandb.thread_id", "thread_id"} & span.attributes.keys()


def test_unknown_convention_names_the_known_ones(backend, monkeypatch):
    """A name that is none, and a text in place of a list, are errors that say what to write."""
    with pytest.raises(ConfigurationError, match="langfuse, langsmith, logfire"):
        lai.init(conventions=["langfused"])
    with pytest.raises(ConfigurationError, match=r"pass \['langfuse'\]"):
        lai.init(conventions="langfuse")
    with pytest.raises(ConfigurationError, match="langfuse, langsmith"):
        sinks.otlp(backend.url, conventions=["nobody"])
    monkeypatch.setenv("LUCIDIC_CONVENTIONS", "nobody")
    with pytest.raises(ConfigurationError, match="LUCIDIC_CONVENTIONS"):
        lai.init()


def test_names_are_the_same_everywhere():
    """What the settings accept is what the exporter knows."""
    assert set(NAMES) == set(CONVENTIONS)


@pytest.mark.parametrize(
    ("endpoint", "headers", "names"),
    [
        ("https://cloud.langfuse.com/api/public/otel/v1/traces", (), ("langfuse",)),
        ("http://localhost:3000/api/public/otel/v1/traces", (), ("langfuse",)),
        ("https://eu.api.smith.langchain.com/otel/v1/traces", ("x-api-key",), ("langsmith",)),
        ("https://logfire-eu.pydantic.dev/v1/traces", (), ("logfire",)),
        ("https://trace.wandb.ai/otel/v1/traces", (), ("weave",)),
        ("https://www.comet.com/opik/api/v1/private/otel/v1/traces", (), ("opik",)),
        ("https://api.traceloop.com/v1/traces", (), ("traceloop",)),
        ("https://otlp.datadoghq.eu/v1/traces", (), ("datadog",)),
        ("http://localhost:4318/v1/traces", ("dd-api-key",), ("datadog",)),
        ("http://localhost:5000/v1/traces", ("x-mlflow-experiment-id",), ("mlflow",)),
        ("http://localhost:6006/v1/traces", (), ()),
    ],
)
def test_address_shows_the_convention(endpoint, headers, names):
    """The address of a backend is enough; nothing else has to be set."""
    assert conventions_of(endpoint, headers) == names


def test_address_is_enough(backend, tracer, monkeypatch):
    """With a backend's address its aliases are written without any option, and an empty list keeps them out."""
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", f"{backend.url}/api/public/otel")
    lai.init(session_id="user_7_conv_1")
    one_turn(tracer)
    assert lai.flush(10)
    assert backend.spans["look"]["langfuse.session.id"] == "user_7_conv_1"
    lai.shutdown()
    lai.init(session_id="user_7_conv_2", conventions=[])
    one_turn(tracer)
    assert lai.flush(10)
    assert "langfuse.session.id" not in backend.spans["look"]


def test_each_destination_has_its_own(backend, tracer):
    """Two destinations of one program get each what it reads."""
    from backend import Backend

    with Backend() as other:
        lai.init(session_id="user_7_conv_1", conventions=["weave"])
        lai.add_sink(sinks.otlp(other.url, conventions=["opik"]))
        one_turn(tracer)
        assert lai.flush(10)
        assert "wandb.thread_id" in backend.spans["look"]
        assert "thread_id" not in backend.spans["look"]
        assert other.spans["look"]["thread_id"] == "user_7_conv_1"
        lai.shutdown()


def test_conventions_given_later_hold_from_then_on(backend, tracer):
    """A second ``init()`` may ask for a convention while the exporter works."""
    lai.init(session_id="user_7_conv_1")
    one_turn(tracer)
    assert lai.flush(10)
    lai.init(session_id="user_7_conv_2", conventions=["opik"])
    one_turn(tracer)
    assert lai.flush(10)
    assert backend.spans["look"]["thread_id"] == "user_7_conv_2"


def test_what_the_user_wrote_counts(backend, tracer):
    """An alias that a span has already stays as it is."""
    lai.init(session_id="user_7_conv_1", conventions=["opik"])
    with tracer().start_as_current_span("mine", attributes={"thread_id": "my own"}):
        pass
    assert lai.flush(10)
    assert backend.spans["mine"]["thread_id"] == "my own"


@pytest.mark.parametrize(
    "given", ["ü" * 30, "x" * 200, "für " + "x" * 300, "x" * 199], ids=["ascii", "long", "both", "fits"]
)
def test_langfuse_ids_fit(backend, tracer, given):
    """Langfuse gets an id that it keeps, the same for every span and different for different sessions."""
    found = []
    for each in (given, given[:-1] + "y"):
        lai.init(session_id=each, conventions=["langfuse"])
        one_turn(tracer)
        assert lai.flush(10)
        ids = {backend.spans[span]["langfuse.session.id"] for span in ("turn", "look", "GET /")}
        assert len(ids) == 1
        found += ids
        assert backend.spans["look"]["session.id"] == each
        lai.end_session()
    assert found[0] != found[1]
    assert all(each.isascii() and len(each) < 200 for each in found)
    if given == "x" * 199:
        assert found[0] == given


def test_validator_knows_the_exception():
    """An id in Langfuse's form is no error, and any other difference is one."""
    span = {"trace_id": "t", "span_id": "a", "name": "x", "status": "OK"}
    for session_id, alias, wrong in (("für", "f%C3%BCr", False), ("user_7_conv_1", "another", True)):
        ids = {"session.id": session_id, "langfuse.session.id": alias}
        found = validate_openinference([{**span, "attributes": {"openinference.span.kind": "CHAIN", **ids}}])
        assert ("S4" in {each.rule for each in found}) is wrong


def test_mlflow_ids_fit(backend, tracer, monkeypatch):
    """A session id that would make MLflow refuse the request is shortened there; ours stays whole."""
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_HEADERS", "x-mlflow-experiment-id=7")
    for length in (250, 251):
        given = "x" * length
        lai.init(session_id=given)
        one_turn(tracer)
        assert lai.flush(10)
        span = backend.spans["look"]
        assert len(span["session.id"]) == 250
        assert span["gen_ai.conversation.id"] == span["session.id"]
        assert span["lucidic.session_id"] == given
        lai.end_session()


def test_a_model_call_with_one_side_keeps_its_messages(backend, tracer):
    """Langfuse takes both sides from one place: what stands only in messages is put beside the other side."""
    lai.init(session_id="user_7_conv_1", conventions=["langfuse"])
    attributes = {
        "openinference.span.kind": "LLM",
        "input.value": "Hi",
        "llm.output_messages.0.message.role": "assistant",
        "llm.output_messages.0.message.content": "Hello",
    }
    with tracer().start_as_current_span("call", attributes=attributes):
        pass
    assert lai.flush(10)
    assert backend.spans["call"]["langfuse.observation.input"] == "Hi"
    assert json.loads(backend.spans["call"]["langfuse.observation.output"]) == [
        {"role": "assistant", "content": "Hello"}
    ]


def test_file_carries_what_was_asked_for(tracer, tmp_path, monkeypatch):
    """The JSON-lines file has the aliases, too, for whoever loads it into such a backend later."""
    monkeypatch.setenv("LUCIDIC_JSONL", str(tmp_path / "spans.jsonl"))
    lai.init(session_id="user_7_conv_1", conventions=["weave"])
    one_turn(tracer)
    assert lai.flush(10)
    lai.shutdown()
    assert '"wandb.thread_id"' in (tmp_path / "spans.jsonl").read_text()


def test_what_is_sent_again_has_them_too(backend, tracer, monkeypatch):
    """Spans that were recorded without any convention get it when they are replayed."""
    from click.testing import CliRunner

    from lucidic._cli import main

    monkeypatch.delenv("OTEL_EXPORTER_OTLP_ENDPOINT")
    lai.init(session_id="user_7_conv_1")
    one_turn(tracer)
    lai.shutdown()
    monkeypatch.setenv("LUCIDIC_CONVENTIONS", "opik")
    done = CliRunner().invoke(main, ["replay", "--to", backend.url])
    assert done.exit_code == 0, done.output
    assert backend.spans["look"]["thread_id"] == "user_7_conv_1"
