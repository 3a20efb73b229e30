"""What configures callbacks by itself: the chains and agents of langchain-classic, retrievers with their own ``invoke``."""

from __future__ import annotations

import pytest
from langchain_core.messages import AIMessage
from langchain_core.prompts import ChatPromptTemplate, MessagesPlaceholder
from langchain_core.tools import tool


agents = pytest.importorskip("langchain_classic.agents")
retrievers = pytest.importorskip("langchain_classic.retrievers")


@tool
def add(a: int, b: int) -> int:
    """Add two numbers."""
    return a + b


def _executor(lc):
    prompt = ChatPromptTemplate.from_messages([("human", "{input}"), MessagesPlaceholder("agent_scratchpad")])
    asking = lc.calling(("add", {"a": 3, "b": 4}, "call-2"), ("add", {"a": 1, "b": 2}, "call-1"))
    model = lc.chat(AIMessage("so", tool_calls=asking.tool_calls), "three and seven")
    executor = agents.AgentExecutor(
        agent=agents.create_tool_calling_agent(model, [add], prompt), tools=[add], name="adder"
    )
    executor.agent.stream_runnable = False  # the fake would stream no tool calls
    return executor


@pytest.mark.parametrize("asynchronous", [False, True])
async def test_agent(lc, config, tree, asynchronous):
    """An agent is told by its name, its tools by the calls that they answer."""
    given = {"input": "1+2, 3+4?"}
    if asynchronous:
        await _executor(lc).ainvoke(given, config)
    else:
        _executor(lc).invoke(given, config)
    agent = tree.one("AGENT")
    assert agent.attributes["agent.name"] == agent.name
    assert (agent.attributes["input.value"], agent.attributes["output.value"]) == (
        "1+2, 3+4?",
        "three and seven",
    )
    calls = {span.attributes["tool.id"]: span.attributes["output.value"] for span in tree.of_kind("TOOL")}
    assert calls == {"call-1": "3", "call-2": "7"}


def _ensemble(lc):
    return retrievers.EnsembleRetriever(retrievers=[lc.Retriever(), lc.Retriever()], weights=[0.5, 0.5])


@pytest.mark.parametrize("key", ["session_id", "thread_id"])
@pytest.mark.parametrize("make", [_executor, _ensemble])
async def test_sessions(lc, config, captured, key, make):
    """The session that ``configurable`` names is on every span, in synchronous and asynchronous code."""
    given = "x" if make is _ensemble else {"input": "1+2, 3+4?"}
    make(lc).invoke(given, {**config, "configurable": {key: "s-1"}})
    await make(lc).ainvoke(given, {**config, "configurable": {key: "s-1"}})
    assert set(captured.session_ids().values()) == {"s-1"}
