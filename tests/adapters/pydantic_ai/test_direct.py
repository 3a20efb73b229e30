"""Requests that user code sends to a model itself, without an agent or from inside one's tool."""

from __future__ import annotations

import asyncio

import pytest
from opentelemetry import trace
from pydantic_ai import Agent, direct
from pydantic_ai.messages import ModelRequest
from pydantic_ai.models.function import FunctionModel
from pydantic_ai.models.instrumented import InstrumentedModel
from pydantic_ai.models.test import TestModel

import lucidic as lai
from lucidic.pydantic_ai import LucidicInstrumentation


A = "conversation-of-ada-0001"
MODEL = TestModel(custom_output_text="hi")


def ask(text):
    return [ModelRequest.user_text_prompt(text)]


def check(traced, name="chat test"):
    """The one span has what was asked and answered, and the session."""
    span = traced.named(name)
    assert span.attributes["session.id"] == A
    assert span.attributes["llm.input_messages.0.message.content"] == "hello"
    assert span.attributes["llm.output_messages.0.message.content"] == "hi"
    assert span.status.status_code is trace.StatusCode.OK


async def test_a_request(traced):
    """A request without an agent is a model call under the block's session."""
    with lai.bind_session(A):
        await direct.model_request(MODEL, ask("hello"))
    check(traced)


def test_a_synchronous_request(traced):
    """So is one of synchronous code."""
    with lai.bind_session(A):
        direct.model_request_sync(MODEL, ask("hello"))
    check(traced)


async def test_a_stream(traced):
    """So is a stream."""
    with lai.bind_session(A):
        async with direct.model_request_stream(MODEL, ask("hello")) as stream:
            [event async for event in stream]
    check(traced)


def test_a_synchronous_stream(traced):
    """So is a stream of synchronous code, which the SDK reads in a thread of its own."""
    with lai.bind_session(A), direct.model_request_stream_sync(MODEL, ask("hello")) as stream:
        list(stream)
    check(traced)


async def test_settings_of_one_request(captured, instrumented_by):
    """``instrument=`` of one request takes our settings, and no other request is traced."""
    ours = LucidicInstrumentation(session_id=A)
    await direct.model_request(MODEL, ask("hello"))
    await direct.model_request(MODEL, ask("hello"), instrument=ours.settings)
    check(captured)


async def test_a_model_wrapped_by_the_user(captured):
    """``InstrumentedModel`` takes our settings, alone and under an agent, without a span twice."""
    model = InstrumentedModel(MODEL, LucidicInstrumentation(session_id=A).settings)
    await model.request(ask("hello"), None, _parameters())
    check(captured)
    captured.clear()
    with lai.instrument("pydantic_ai"), lai.bind_session(A):
        await Agent(model, name="wrapped").run("hello")
    assert [span.name for span in captured.spans] == ["chat test", "invoke_agent wrapped"]


def _parameters():
    from pydantic_ai.models import ModelRequestParameters

    return ModelRequestParameters()


async def test_a_request_inside_a_tool(traced, script, call):
    """It hangs below the tool, and the run's own calls and answer stay what they are."""
    agent = Agent(script([call("look")], "done"), name="outer")

    @agent.tool_plain
    async def look() -> str:
        await direct.model_request(MODEL, ask("hello"))
        return "seen"

    with lai.bind_session(A):
        await agent.run("go")
    check(traced)
    assert traced.named("chat test").parent.span_id == traced.named("execute_tool look").context.span_id
    last = [span for span in traced.spans if span.name == "chat scripted"][-1]
    assert last.attributes["llm.input_messages.0.message.content"] == "go"
    assert last.attributes["llm.input_messages.2.message.content"] == "seen"
    assert traced.named("invoke_agent outer").attributes["output.value"] == "done"


async def test_a_request_cancelled_inside_a_tool(traced, script, call, version):
    """A request that a tool gives up is cancelled, ended at once, and the run goes on."""
    if version < (1, 95):
        pytest.skip("a run's own requests cannot be told from others before 1.95")
    agent = Agent(script([call("look")], "done"), name="outer")
    asked = asyncio.Event()

    async def never(messages, info):
        asked.set()
        await asyncio.Event().wait()

    @agent.tool_plain
    async def look() -> str:
        slow = FunctionModel(never, model_name="slow")
        task = asyncio.create_task(direct.model_request(slow, ask("hello")))
        await asked.wait()
        task.cancel()
        await asyncio.wait([task])
        assert [span.name for span in traced.spans] == ["chat scripted", "chat slow"]
        return "seen"

    await agent.run("go")
    slow = traced.named("chat slow")
    assert slow.attributes["lucidic.cancelled"] is True
    assert slow.status.status_code is trace.StatusCode.ERROR
    assert traced.named("invoke_agent outer").status.status_code is trace.StatusCode.OK
