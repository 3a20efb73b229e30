"""Realtime sessions, through the SDK's own scripted model of them, or ours where the SDK has none yet."""

from __future__ import annotations

import asyncio

import agents
import pytest
from agents import GuardrailFunctionOutput, OutputGuardrail, function_tool
from agents.usage import Usage
from opentelemetry import trace as otel_trace

import lucidic as lai
from lucidic.testing import validate_openinference


pytest.importorskip("agents.realtime", reason="realtime needs websockets")

from agents.realtime import RealtimeAgent, RealtimeModel, RealtimeRunner, realtime_handoff  # noqa: E402
from agents.realtime.items import InputText, UserMessageItem  # noqa: E402
from agents.realtime.model_events import (  # noqa: E402
    RealtimeModelExceptionEvent,
    RealtimeModelItemUpdatedEvent,
    RealtimeModelRawServerEvent,
    RealtimeModelToolCallEvent,
    RealtimeModelTranscriptDeltaEvent,
    RealtimeModelTurnEndedEvent,
    RealtimeModelTurnStartedEvent,
    RealtimeModelUsageEvent,
)


try:
    from agents.realtime.testing import RealtimeStep, ScriptedRealtimeModel
except ImportError:
    ScriptedRealtimeModel = None


class Transport(RealtimeModel):
    """Give the listeners what a test emits, and take what is sent."""

    def __init__(self):
        self.listeners = []

    async def connect(self, options):
        """Connect to nobody."""

    def add_listener(self, listener):
        self.listeners.append(listener)

    def remove_listener(self, listener):
        self.listeners.remove(listener)

    async def send_event(self, event):
        """Send to nobody."""

    async def close(self):
        """Close nothing."""

    async def emit(self, *events):
        for event in events:
            for listener in list(self.listeners):
                await listener.on_event(event)


def model_for():
    if ScriptedRealtimeModel is None:
        return Transport()
    return ScriptedRealtimeModel([RealtimeStep(lambda _event: True) for _ in range(6)], strict=False)


def heard(text, item_id="u1"):
    return RealtimeModelItemUpdatedEvent(UserMessageItem(item_id=item_id, content=[InputText(text=text)]))


def answered(text, response_id="r1", item_id="a1"):
    return [
        RealtimeModelTurnStartedEvent(),
        *(
            RealtimeModelTranscriptDeltaEvent(item_id=item_id, delta=part, response_id=response_id)
            for part in text.split("|")
        ),
        RealtimeModelUsageEvent(Usage(requests=1, input_tokens=30, output_tokens=12, total_tokens=42)),
        RealtimeModelTurnEndedEvent(),
    ]


def named(captured, name):
    (found,) = [span for span in captured.spans if span.name == name]
    return found


def parent_of(captured, span):
    (found,) = [one for one in captured.spans if one.context.span_id == span.parent.span_id]
    return found.name


async def settled(session):
    while tasks := [*session._tool_call_tasks, *session._guardrail_tasks]:
        await asyncio.gather(*tasks, return_exceptions=True)


CONFIG = {"model_settings": {"model_name": "gpt-realtime", "tracing": {"group_id": "call-7"}}}


async def test_a_conversation_is_one_trace_of_agents_responses_and_words(traced):
    """What was heard and said, by which agent and for how many tokens, is in one trace of the group's session."""
    model = model_for()
    runner = RealtimeRunner(RealtimeAgent(name="Host"), model=model, config=CONFIG)
    async with await runner.run():
        await model.emit(heard("Is it open?"), *answered("Yes, |until ten."))

    root, agent, response = (named(traced, name) for name in ("Realtime session", "Host", "response"))
    assert (root.attributes["input.value"], root.attributes["output.value"]) == (
        "Is it open?",
        "Yes, until ten.",
    )
    assert (parent_of(traced, agent), parent_of(traced, response)) == ("Realtime session", "Host")
    assert response.attributes["llm.model_name"] == "gpt-realtime"
    assert response.attributes["llm.input_messages.0.message.content"] == "Is it open?"
    assert response.attributes["llm.output_messages.0.message.content"] == "Yes, until ten."
    assert response.attributes["llm.token_count.total"] == 42
    assert {span.attributes["session.id"] for span in traced.spans} == {"call-7"}
    assert not validate_openinference(traced.spans)


async def test_tools_of_a_conversation_are_current_for_their_code(traced):
    """A span that a tool's code opens lies below the tool, and the call's id joins it to the model's message."""

    @function_tool
    async def look_up(place: str) -> str:
        """Look a place up."""
        with otel_trace.get_tracer("mine").start_as_current_span("query"):
            return f"{place} is open"

    model = model_for()
    runner = RealtimeRunner(RealtimeAgent(name="Host", tools=[look_up]), model=model, config=CONFIG)
    async with await runner.run() as session:
        call = RealtimeModelToolCallEvent(name="look_up", call_id="c1", arguments='{"place": "bar"}')
        usage = RealtimeModelUsageEvent(Usage(input_tokens=9, output_tokens=3, total_tokens=12))
        await model.emit(
            heard("Bar?"), RealtimeModelTurnStartedEvent(), call, usage, RealtimeModelTurnEndedEvent()
        )
        await settled(session)
    tool, response = named(traced, "look_up"), named(traced, "response")
    assert parent_of(traced, named(traced, "query")) == "look_up"
    assert parent_of(traced, tool) == "Host"
    assert tool.attributes["output.value"] == "bar is open"
    assert tool.attributes["tool.id"] == "c1"
    calls = "llm.output_messages.0.message.tool_calls.0.tool_call"
    assert response.attributes[f"{calls}.id"] == "c1"
    assert {span.attributes["session.id"] for span in traced.spans} == {"call-7"}
    ours = [span for span in traced.spans if span.name != "query"]
    assert not [found for found in validate_openinference(ours) if found.severity == "error"]


async def test_a_tool_that_raises_says_so_in_its_span(traced):
    """The exception of a tool is told on its span, though the SDK answers the model with a text."""

    @function_tool
    def broken() -> str:
        """Break."""
        raise KeyError("no such bar")

    model = model_for()
    runner = RealtimeRunner(RealtimeAgent(name="Host", tools=[broken]), model=model, config=CONFIG)
    async with await runner.run() as session:
        await model.emit(RealtimeModelToolCallEvent(name="broken", call_id="c1", arguments="{}"))
        await settled(session)
    tool = named(traced, "broken")
    assert "no such bar" in tool.status.description
    assert tool.events[0].attributes["exception.type"] == "KeyError"


async def test_a_handoff_moves_the_conversation_to_the_other_agent(traced):
    """A handoff tells from and to, and what is said after it is said by the agent that took over."""
    bar = RealtimeAgent(name="Bar")
    model = model_for()
    host = RealtimeAgent(name="Host", handoffs=[realtime_handoff(bar)])
    async with await RealtimeRunner(host, model=model, config=CONFIG).run() as session:
        await model.emit(RealtimeModelToolCallEvent(name="transfer_to_bar", call_id="c1", arguments="{}"))
        await settled(session)
        await model.emit(*answered("Cheers."))
    handoff = named(traced, "handoff to Bar")
    assert (
        handoff.attributes["openai_agents.handoff.from"],
        handoff.attributes["openai_agents.handoff.to"],
    ) == ("Host", "Bar")
    assert parent_of(traced, handoff) == "Host"
    assert parent_of(traced, named(traced, "response")) == "Bar"
    assert named(traced, "Bar").attributes["graph.node.parent_id"] == "Host"


async def test_a_guardrail_that_trips_is_a_span(traced):
    """An output guardrail that trips tells its name, what it saw and why."""

    async def check(_context, _agent, _output):
        return GuardrailFunctionOutput(output_info={"why": "rude"}, tripwire_triggered=True)

    config = {
        **CONFIG,
        "output_guardrails": [OutputGuardrail(check, name="polite")],
        "guardrails_settings": {"debounce_text_length": 1},
    }
    model = model_for()
    async with await RealtimeRunner(RealtimeAgent(name="Host"), model=model, config=config).run() as session:
        await model.emit(*answered("Go away!")[:2])
        await settled(session)
    guardrail = named(traced, "polite")
    assert guardrail.attributes["openinference.span.kind"] == "GUARDRAIL"
    assert guardrail.attributes["openai_agents.guardrail.triggered"] is True
    assert "rude" in guardrail.attributes["output.value"]


async def test_a_conversation_belongs_to_the_block_then_to_the_providers_session(traced):
    """A bound session counts; without any, the id that the provider gave its session does."""
    created = RealtimeModelRawServerEvent({"type": "session.created", "session": {"id": "sess_9"}})
    host = RealtimeAgent(name="Host")
    with lai.session(session_id="bound"):
        model = model_for()
        async with await RealtimeRunner(host, model=model).run():
            await model.emit(created, *answered("Hi."))
    assert {span.attributes["session.id"] for span in traced.spans} == {"bound"}
    traced.clear()
    model = model_for()
    async with await RealtimeRunner(host, model=model).run():
        await model.emit(created, *answered("Hi."))
    assert {span.attributes["session.id"] for span in traced.spans} == {"sess_9"}


async def test_a_conversation_that_breaks_or_is_left_ends_its_spans(traced):
    """A failure of the connection is told on the root; a response that was cut off is marked as cancelled."""
    model = model_for()
    with pytest.raises(ConnectionError):
        async with await RealtimeRunner(
            RealtimeAgent(name="Host"), model=model, config=CONFIG
        ).run() as session:
            await model.emit(
                RealtimeModelTurnStartedEvent(),
                RealtimeModelExceptionEvent(exception=ConnectionError("gone")),
            )
            async for _event in session:
                pass
    root, response = named(traced, "Realtime session"), named(traced, "response")
    assert "gone" in root.status.description
    assert response.attributes["lucidic.cancelled"] is True
    assert not otel_trace.get_current_span().get_span_context().is_valid


@pytest.mark.parametrize("way", ["config", "globally"])
async def test_disabled_tracing_leaves_no_spans_of_conversations(traced, way):
    """Where tracing is disabled, for a session or for all, conversations have no spans."""
    config = {"tracing_disabled": True} if way == "config" else None
    agents.set_tracing_disabled(way == "globally")
    model = model_for()
    async with await RealtimeRunner(RealtimeAgent(name="Host"), model=model, config=config).run():
        await model.emit(*answered("Hi."))
    assert traced.spans == []


async def test_words_stay_out_of_conversations_where_content_is_not_to_be_shown(traced, monkeypatch):
    """With sensitive data off, tokens and the model are told and words are not."""
    monkeypatch.setenv("OPENAI_AGENTS_TRACE_INCLUDE_SENSITIVE_DATA", "false")
    model = model_for()
    async with await RealtimeRunner(RealtimeAgent(name="Host"), model=model, config=CONFIG).run():
        await model.emit(heard("secret"), *answered("secret"))
    assert "secret" not in str([dict(span.attributes) for span in traced.spans])
    assert named(traced, "response").attributes["llm.token_count.total"] == 42
