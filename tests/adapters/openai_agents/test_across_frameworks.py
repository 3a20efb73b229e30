"""Runs of the SDK inside other frameworks, and other frameworks inside its tools: one session, one tree."""

from __future__ import annotations

import asyncio

import pytest
from agents import RunConfig, Runner, function_tool

import lucidic as lai
from lucidic.testing import Reply, ToolCall


CALL = Reply(tool_calls=(ToolCall("work"),))


def sessions(captured):
    return {span.attributes.get("lucidic.session_id") for span in captured.spans}


def is_below(captured, span, other):
    """Tell whether ``span`` is somewhere below ``other``."""
    by_id = {s.context.span_id: s for s in captured.spans}
    while span is not None and span is not other:
        span = by_id.get(span.parent.span_id) if span.parent else None
    return span is other


@pytest.fixture
def langchain():
    runnables = pytest.importorskip("langchain_core.runnables")
    with lai.instrument("langchain"):
        yield runnables


async def test_a_run_inside_a_langchain_runnable(traced, scripted, langchain):
    """The runnable's thread id is the session of the run inside it, and the run lies below the runnable."""
    agent = scripted().agent()

    async def ask(words):
        return (await Runner.run(agent, words)).final_output

    chain = langchain.RunnableLambda(ask)
    await chain.ainvoke("Hi", config={"metadata": {"thread_id": "t-1"}})
    assert {"t-1"} == sessions(traced)
    (root,) = [span for span in traced.spans if span.parent is None]
    assert root.instrumentation_scope.name == "lucidic.langchain"
    assert all(is_below(traced, span, root) for span in traced.spans)


@pytest.mark.parametrize("threaded", [False, True])
async def test_a_langchain_chain_inside_a_tool(traced, scripted, langchain, threaded):
    """A chain with a thread id of its own stays in the run's session, below the tool."""
    chain = langchain.RunnableLambda(lambda words: words.upper()).with_config(run_name="shout")
    config = {"metadata": {"thread_id": "inner"}}

    @function_tool(name_override="work")
    async def work() -> str:
        return await chain.ainvoke("hi", config=config)

    @function_tool(name_override="work")
    def threaded_work() -> str:
        return chain.invoke("hi", config=config)

    tool = threaded_work if threaded else work
    await Runner.run(
        scripted([CALL, "Done."]).agent(tools=[tool]), "Go", run_config=RunConfig(group_id="outer")
    )
    assert {"outer"} == sessions(traced)
    assert is_below(traced, traced.named("shout"), traced.named("work"))


@pytest.mark.parametrize("threaded", [False, True])
async def test_a_pydantic_ai_agent_inside_a_tool(traced, scripted, threaded):
    """An inner agent with a conversation of its own keeps the outer session on every span."""
    pydantic_ai = pytest.importorskip("pydantic_ai")
    from pydantic_ai.models.test import TestModel

    inner = pydantic_ai.Agent(TestModel(), name="inner")

    @function_tool(name_override="work")
    async def work() -> str:
        return (await inner.run("Hi", conversation_id="inner-1")).output

    @function_tool(name_override="work")
    def threaded_work() -> str:
        return asyncio.run(inner.run("Hi", conversation_id="inner-1")).output

    made = scripted([CALL, "Done."])
    with lai.instrument("pydantic_ai"):
        tool = threaded_work if threaded else work
        await Runner.run(made.agent(tools=[tool]), "Go", run_config=RunConfig(group_id="outer"))
    assert {"outer"} == sessions(traced)
    tool_span = traced.named("work")
    assert len([span for span in traced.spans if is_below(traced, span, tool_span)]) >= 3


async def test_a_run_inside_a_pydantic_ai_tool(traced, scripted):
    """A run inside a tool of a PydanticAI agent is in that agent's session and tree."""
    pydantic_ai = pytest.importorskip("pydantic_ai")
    from pydantic_ai.models.test import TestModel

    agent = scripted().agent()
    outer = pydantic_ai.Agent(TestModel(), name="outer")

    @outer.tool_plain
    async def ask() -> str:
        """Ask."""
        return (await Runner.run(agent, "Hi")).final_output

    with lai.instrument("pydantic_ai"):
        await outer.run("Go", conversation_id="conv-1")
    assert {"conv-1"} == sessions(traced)
    assert 1 == len({span.context.trace_id for span in traced.spans})
