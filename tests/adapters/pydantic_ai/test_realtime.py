"""Realtime sessions: one run, a model call for each answer, the tools below it, under the right session."""

from __future__ import annotations

import asyncio
import contextlib

import pytest
from opentelemetry import trace
from pydantic_ai import Agent

import lucidic as lai


codec = pytest.importorskip("pydantic_ai.realtime.codec", reason="PydanticAI has realtime sessions since 2.x")
lifecycle = pytest.importorskip("pydantic_ai.realtime.lifecycle")
from pydantic_ai.realtime import RealtimeModel  # noqa: E402


A = "conversation-of-ada-0001"


class Connection(codec.RealtimeConnection):
    """Answers a text by calling ``look`` and then says what that said."""

    def __init__(self):
        self._said = asyncio.Queue()
        self._lifecycle = lifecycle.InferredLifecycle()

    async def send(self, content):
        with self._lifecycle.sending(content):
            pass
        if isinstance(content, codec.ToolResult):
            words = f"It is {content.output}."
            self._said.put_nowait([codec.OutputTranscript(text=words, is_final=True), codec.ResponseDone()])
        elif isinstance(content, str):
            self._said.put_nowait([codec.ToolCall(tool_call_id="call-1", tool_name="look", args="{}")])
        return self._lifecycle.take_pending()

    async def frames(self):
        while True:
            yield self._lifecycle.frame_for(await self._said.get())


class Model(RealtimeModel):
    model_name = "voice"
    system = "scripted"

    @contextlib.asynccontextmanager
    async def connect(self, *, messages, model_settings, model_request_parameters):
        yield Connection()


async def talk(agent, **options):
    async with agent.realtime(Model(), **options).session() as session:
        await session.send("How is it?")
        async for event in session:
            if "is_final" in vars(event) or type(event).__name__.endswith("TurnCompleteEvent"):
                break


@pytest.fixture
def agent():
    made = Agent(name="speaker")

    @made.tool_plain
    async def look() -> str:
        with trace.get_tracer("users-code").start_as_current_span("user span"):
            return "sunny"

    return made


@pytest.mark.parametrize("options", [{"conversation_id": A}, {"metadata": {"thread_id": A}}, {}])
async def test_a_session(traced, sessions, agent, options):
    """Ids of the call or the block name the session of every span, tools and the user's own too."""
    if options:
        await talk(agent, **options)
    else:
        with lai.bind_session(A):
            await talk(agent)
    assert sessions() == {A}
    root = traced.named("invoke_agent speaker")
    assert traced.named("user span").parent.span_id == traced.named("execute_tool look").context.span_id
    assert {span.parent.span_id for span in traced.spans if span.name.startswith(("chat", "execute"))} == {
        root.context.span_id
    }
    assert root.status.status_code is trace.StatusCode.OK
    assert root.attributes["input.value"] == "How is it?"
    assert root.attributes["output.value"] == "It is sunny."
    first, last = (dict(span.attributes) for span in traced.spans if span.name == "chat voice")
    assert first["llm.output_messages.0.message.tool_calls.0.tool_call.function.name"] == "look"
    assert last["llm.input_messages.2.message.content"] == "sunny"
    assert last["output.value"] == "It is sunny."
    assert len(traced.started) == len(traced.spans)


async def test_a_session_that_breaks(traced):
    """An error of the code inside is the session's, and nothing stays open."""
    with pytest.raises(RuntimeError, match="line cut"):
        async with Agent(name="speaker").realtime(Model(), conversation_id=A).session():
            raise RuntimeError("line cut")
    root = traced.named("invoke_agent speaker")
    assert root.status.status_code is trace.StatusCode.ERROR
    assert root.attributes["session.id"] == A
    assert len(traced.started) == len(traced.spans)
