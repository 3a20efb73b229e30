"""What we use of PydanticAI beyond its documented interface is where it was; a failure here says what moved."""

from __future__ import annotations

import inspect

import pydantic_ai
import pytest
from pydantic_ai import Agent, Embedder, exceptions
from pydantic_ai.embeddings.instrumented import InstrumentedEmbeddingModel
from pydantic_ai.models.instrumented import InstrumentationSettings, InstrumentedModel
from pydantic_ai.models.test import TestModel


def parameters(function):
    return list(inspect.signature(function).parameters)


def test_runs_go_through_iter():
    """``Agent.iter`` is the way of every run, defined on Agent itself, with the arguments that name a session."""
    assert "iter" in vars(Agent)
    assert {"user_prompt", "message_history", "metadata", "deps"} <= set(parameters(Agent.iter))


def test_the_defaults_of_all_agents():
    """``instrument_all`` keeps its settings where undoing reads them, as early as 1.56."""
    owners = [Agent, Embedder]
    if hasattr(pydantic_ai, "images"):
        owners.append(pydantic_ai.images.ImageGenerator)
    for owner in owners:
        assert owner._instrument_default is False
        owner.instrument_all(True)
        assert owner._instrument_default is True
        owner.instrument_all(False)


def test_an_agents_own_metadata():
    """An agent keeps its metadata where the run's session is looked for."""
    assert Agent(TestModel(), metadata={"session_id": "a"})._metadata == {"session_id": "a"}


def test_requests_go_through_the_instrumented_models():
    """The wrappers of models and embedders have the methods that are hooked, and their settings and model."""
    assert parameters(InstrumentedModel.request)[1:4] == [
        "messages", "model_settings", "model_request_parameters",
    ]  # fmt: skip
    assert parameters(InstrumentedModel.request_stream)[1:4] == parameters(InstrumentedModel.request)[1:4]
    assert {"request", "request_stream"} <= set(vars(InstrumentedModel))
    assert parameters(InstrumentedEmbeddingModel.embed) == ["self", "inputs", "input_type", "settings"]
    model = InstrumentedModel(TestModel(), InstrumentationSettings())
    assert isinstance(model.instrumentation_settings, InstrumentationSettings)
    assert isinstance(model.wrapped, TestModel)


def test_the_settings_hand_over_the_messages():
    """``handle_messages`` gets the messages, the answer and the span; the span may be given by name."""
    given = parameters(InstrumentationSettings.handle_messages)
    assert given[1:3] == ["input_messages", "response"]
    assert "span" in given
    for name in ("messages_to_otel_messages", "system_instructions_attributes", "record_metrics"):
        assert name in vars(InstrumentationSettings)
    assert hasattr(InstrumentationSettings(), "tracer")


def test_the_capability(version):
    """From 1.95 on the capability has the hooks that are wrapped, and may be given to one durable run."""
    if version < (1, 95):
        pytest.skip("no capability makes spans before 1.95")
    from pydantic_ai.capabilities import Instrumentation

    assert parameters(vars(Instrumentation)["wrap_run"]) == ["self", "ctx", "handler"]
    assert parameters(vars(Instrumentation)["wrap_model_request"]) == [
        "self", "ctx", "request_context", "handler",
    ]  # fmt: skip
    if version >= (2, 0):
        assert Instrumentation._safe_at_runtime is True


def test_replays_are_told_from_runs(version):
    """From 2.67 on the SDK says whether a durable engine runs here."""
    if version < (2, 67):
        pytest.skip("replays are not told from runs before 2.67")
    from pydantic_ai import _durable_replay

    assert _durable_replay.snapshot() is None
    with _durable_replay.replay_scope(is_replaying=lambda: True):
        assert _durable_replay.snapshot() is not None


def test_realtime_sessions(version):
    """Realtime sessions are opened by two public methods, the first of which names the session."""
    agents = pytest.importorskip("pydantic_ai.agent")
    if not hasattr(agents, "AgentRealtime"):
        pytest.skip("this release has no realtime sessions")
    assert {"metadata", "conversation_id", "message_history"} <= set(
        parameters(agents.AbstractAgent.realtime)
    )
    assert "session" in vars(agents.AgentRealtime)


def test_retries_and_deferrals(version):
    """What tools raise for the SDK's own loop has the names that tell it from failures."""
    assert issubclass(exceptions.CallDeferred, Exception)
    assert issubclass(exceptions.ApprovalRequired, Exception)
    assert exceptions.ToolRetryError.__name__ == "ToolRetryError"
    assert hasattr(exceptions, "SkipToolExecution") == (version >= (1, 71))


def test_models_live_in_one_package():
    """A stream's error is the model's where it passed the SDK's models."""
    from pydantic_ai.models.openai import OpenAIChatModel

    assert OpenAIChatModel.__module__.startswith("pydantic_ai.models")
