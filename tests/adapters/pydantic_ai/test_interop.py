"""Beside others: their providers, their spans, their settings, and PydanticAI's own behaviour."""

from __future__ import annotations

import pytest
from opentelemetry import trace
from opentelemetry.sdk.trace import SpanLimits, TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from pydantic_ai import Agent, Embedder
from pydantic_ai.messages import ModelRequest, ModelResponse, TextPart, UserPromptPart
from pydantic_ai.models.instrumented import InstrumentationSettings
from pydantic_ai.models.test import TestModel

import lucidic as lai
from lucidic.pydantic_ai import LucidicInstrumentation, instrument


A = "conversation-of-ada-0001"
B = "conversation-of-bob-0002"
IDS = {"lucidic.session_id", "session.id", "gen_ai.conversation.id", "lucidic.session.source"}


def others(limits=None):
    """Make somebody else's provider, and what it exports."""
    provider, exporter = TracerProvider(span_limits=limits), InMemorySpanExporter()
    provider.add_span_processor(SimpleSpanProcessor(exporter))
    return provider, exporter


def test_a_provider_of_the_users(captured):
    """Spans made on the user's provider reach the user's exporter and our pipeline."""
    provider, exporter = others()
    with lai.instrument("pydantic_ai", tracer_provider=provider), lai.bind_session(A):
        Agent(TestModel(custom_output_text="hi"), name="both").run_sync("hello")
    theirs = {span.name: dict(span.attributes) for span in exporter.get_finished_spans()}
    assert theirs == {span.name: dict(span.attributes) for span in captured.spans}
    assert theirs["invoke_agent both"]["session.id"] == A
    assert theirs["chat test"]["llm.token_count.prompt"] > 0


def test_the_default_attribute_limit(captured):
    """With 200 messages and OpenTelemetry's 128 attributes the ids, kind, tokens and model stay."""
    provider, exporter = others(SpanLimits(max_span_attributes=128))
    history = []
    for number in range(100):
        history.append(ModelRequest(parts=[UserPromptPart(f"question {number}")]))
        history.append(ModelResponse(parts=[TextPart(f"answer {number}")]))
    with lai.instrument("pydantic_ai", tracer_provider=provider), lai.bind_session(A):
        Agent(TestModel(custom_output_text="hi"), name="long").run_sync("last", message_history=history)
    chat = next(dict(span.attributes) for span in exporter.get_finished_spans() if span.name == "chat test")
    assert {chat[key] for key in ("session.id", "lucidic.session_id", "gen_ai.conversation.id")} == {A}
    assert chat["openinference.span.kind"] == "LLM"
    assert chat["llm.model_name"] == "test"
    assert chat["llm.token_count.total"] > 0
    assert chat["input.value"] == "last"
    assert chat["output.value"] == "hi"
    assert chat["llm.output_messages.0.message.content"] == "hi"


def test_spans_of_others_change_in_nothing_but_ids(captured, script, call):
    """A user's span in a tool gets the ids and nothing else; its status stays as it was."""
    provider, exporter = others()
    agent = Agent(script([call("look")], "done"))

    @agent.tool_plain
    def look() -> str:
        with provider.get_tracer("theirs").start_as_current_span("theirs", attributes={"gen_ai.system": "x"}):
            return "seen"

    with lai.instrument("pydantic_ai", tracer_provider=provider), lai.bind_session(A):
        agent.run_sync("go")
    theirs = next(span for span in exporter.get_finished_spans() if span.name == "theirs")
    assert set(theirs.attributes) == {"gen_ai.system", *IDS}
    assert theirs.status.status_code is trace.StatusCode.UNSET


def test_an_agents_own_settings_hold(traced):
    """An agent with settings of its own goes on being traced by PydanticAI, to its provider, untouched."""
    provider, exporter = others()
    agent = Agent(TestModel(custom_output_text="hi"), name="own")
    agent.instrument = InstrumentationSettings(tracer_provider=provider)
    with lai.bind_session(A):
        agent.run_sync("hello")
    assert traced.spans == []
    chat = next(span for span in exporter.get_finished_spans() if span.name.startswith("chat"))
    assert "openinference.span.kind" not in chat.attributes
    assert "hello" in chat.attributes["gen_ai.input.messages"]
    assert "session.id" not in chat.attributes


def test_an_agent_that_is_switched_off(traced):
    """agent.instrument = False leaves the agent out."""
    agent = Agent(TestModel(), name="off")
    agent.instrument = False
    agent.run_sync("hello")
    assert traced.spans == []


def test_agents_made_before(captured):
    """Agents made before instrument() are traced, and after its end no longer."""
    agent = Agent(TestModel(custom_output_text="hi"), name="early")
    with lai.instrument("pydantic_ai"):
        agent.run_sync("hello")
    assert len(captured.spans) == 2
    agent.run_sync("hello")
    assert len(captured.spans) == 2


def test_undoing_brings_back_what_was_there():
    """The undo function restores settings and methods, once, in any order."""
    before = Agent._instrument_default, Embedder._instrument_default, Agent.__dict__["iter"]
    mine = InstrumentationSettings()
    Agent.instrument_all(mine)
    first = instrument()
    second = instrument()
    assert Agent._instrument_default is not mine
    second()
    first()
    assert Agent._instrument_default is mine
    Agent.instrument_all(before[0])
    assert (Agent._instrument_default, Embedder._instrument_default, Agent.__dict__["iter"]) == before


def test_instrumenting_twice_makes_no_span_twice(captured):
    """lai.instrument() twice is one instrumentation."""
    with lai.instrument("pydantic_ai"), lai.instrument("pydantic_ai"):
        Agent(TestModel(custom_output_text="hi")).run_sync("hello")
    assert len(captured.spans) == 2


def test_both_ways_at_once_make_no_span_twice(traced, instrumented_by):
    """An agent's own LucidicInstrumentation takes the place of the process's."""
    ours = LucidicInstrumentation(session_id=B)
    Agent(TestModel(custom_output_text="hi"), **instrumented_by(ours)).run_sync("hello")
    assert len(traced.spans) == 2
    assert {span.attributes["session.id"] for span in traced.spans} == {B}


def test_metrics_of_the_settings_before_go_on(captured):
    """Metrics of settings given to Agent.instrument_all() before are recorded as before."""
    from opentelemetry.sdk.metrics import MeterProvider
    from opentelemetry.sdk.metrics.export import InMemoryMetricReader

    reader = InMemoryMetricReader()
    meters = MeterProvider(metric_readers=[reader], shutdown_on_exit=False)
    Agent.instrument_all(InstrumentationSettings(meter_provider=meters))
    try:
        with lai.instrument("pydantic_ai"):
            Agent(TestModel(custom_output_text="hi")).run_sync("hello")
    finally:
        Agent.instrument_all(False)
    data = reader.get_metrics_data()
    names = {
        metric.name
        for resource in data.resource_metrics
        for scope in resource.scope_metrics
        for metric in scope.metrics
    }
    assert "gen_ai.client.token.usage" in names
    meters.shutdown()


def test_openinferences_blocks(traced, sessions):
    """using_session of OpenInference names our session, and ours is seen by its readers."""
    from openinference.instrumentation import get_attributes_from_context, using_attributes

    seen = {}
    agent = Agent(TestModel(), name="meeting")

    @agent.tool_plain
    def look(city: str) -> str:
        seen.update(get_attributes_from_context())
        return city

    with using_attributes(session_id=A, user_id="ada", metadata={"plan": "free"}):
        agent.run_sync("hello", metadata={"tenant": "north"})
    assert sessions() == {A}
    run = dict(traced.named("invoke_agent meeting").attributes)
    assert run["user.id"] == "ada"
    assert '"plan"' in run["metadata"]
    assert '"tenant"' in run["metadata"]
    traced.clear()
    agent.run_sync("hello", metadata={"session_id": B})
    assert seen["session.id"] == B


def test_the_users_attributes_stay(traced, script, call):
    """What user code sets on the current span inside a tool is on the tool's span."""
    agent = Agent(script([call("look")], "done"))

    @agent.tool_plain
    def look() -> str:
        current = trace.get_current_span()
        current.set_attribute("my.key", "mine")
        current.add_event("noticed", {"what": "cat"})
        assert current.get_span_context().is_valid
        assert current.is_recording()
        return "seen"

    agent.run_sync("go")
    tool = traced.named("execute_tool look")
    assert tool.attributes["my.key"] == "mine"
    assert [event.name for event in tool.events] == ["noticed"]


@pytest.mark.parametrize("run", range(2))
def test_a_logfire_like_scrubber_does_not_matter(captured, run):
    """Our own pipeline keeps the ids where another processor scrubs keys with "session"."""
    from opentelemetry.sdk.trace import SpanProcessor

    class Scrubber(SpanProcessor):
        def on_end(self, span):
            span._attributes = {
                key: "[Scrubbed]" if "session" in key else value for key, value in span.attributes.items()
            }

    provider = TracerProvider()
    if run:
        provider.add_span_processor(Scrubber())
    with lai.instrument("pydantic_ai", tracer_provider=provider), lai.bind_session(A):
        if not run:
            Agent(TestModel()).run_sync("first, so that ours stands before")
            provider.add_span_processor(Scrubber())
        Agent(TestModel(custom_output_text="hi"), name="scrubbed").run_sync("hello")
    assert captured.named("invoke_agent scrubbed").attributes["gen_ai.conversation.id"] == A
