"""Other frameworks inside a graph: one trace, one session, each below the tool that ran it."""

from __future__ import annotations

import sys

import pytest
from langchain.agents import create_agent
from langchain_core.tools import tool

import lucidic as lai
from lucidic.testing import Reply, ScriptedServer, ToolCall, session_id_of


pytestmark = pytest.mark.skipif(
    sys.version_info < (3, 11), reason="LangChain passes no context to tasks before Python 3.11"
)


async def _run(lc, config, asked):
    """Ask a graph's agent, whose one tool asks another framework's agent."""
    agent = create_agent(
        lc.chat(lc.calling((asked.name, {"question": "q"}, "c1")), "done"), [asked], name="boss"
    )
    given = {**config, "configurable": {"thread_id": "t-1"}}
    answer = await agent.ainvoke({"messages": [("user", "hello")]}, given)
    assert answer["messages"][-1].content == "done"


def _check(tree, captured, name, at_least):
    assert len(tree.traces()) == 1
    assert {session_id_of(span) for span in captured.spans} == {"t-1"}
    (tool_span,) = [span for span in tree.of_kind("TOOL") if span.name == name]
    below = [span for span in captured.spans if _is_below(tree, span, tool_span)]
    assert len(below) >= at_least
    assert "LLM" in {span.attributes.get("openinference.span.kind") for span in below}


def _is_below(tree, span, above):
    while span is not None and span is not above:
        span = tree.parent(span)
    return span is above


async def test_pydantic_ai_in_a_tool(lc, config, captured, tree):
    """A PydanticAI agent in a tool of a graph is in the graph's trace and session."""
    pydantic_ai = pytest.importorskip("pydantic_ai")
    from pydantic_ai.models.test import TestModel

    inner = pydantic_ai.Agent(TestModel(call_tools=[]), name="inner")

    @tool
    async def ask(question: str) -> str:
        """Ask the inner agent."""
        return (await inner.run(question, conversation_id="inner-1")).output

    with lai.instrument("pydantic_ai"):
        await _run(lc, config, ask)
    _check(tree, captured, "ask", 3)


async def test_openai_agents_in_a_tool(lc, config, captured, tree):
    """A run of the OpenAI Agents SDK in a tool of a graph is in the graph's trace and session."""
    agents = pytest.importorskip("agents")
    openai = pytest.importorskip("openai")

    @agents.function_tool
    async def work() -> str:
        """Work."""
        lc.user("in-work")
        return "worked"

    with ScriptedServer(
        [Reply(tool_calls=(ToolCall("work", {}, id="call_1"),)), Reply(text="helped")]
    ) as server:
        client = openai.AsyncOpenAI(base_url=server.openai_url, api_key="none", max_retries=0)
        model = agents.OpenAIResponsesModel("gpt-5", client)
        inner = agents.Agent(name="inner", model=model, tools=[work])

        @tool
        async def ask(question: str) -> str:
            """Ask the inner agent."""
            result = await agents.Runner.run(inner, question, run_config=agents.RunConfig(group_id="inner-1"))
            return str(result.final_output)

        with lai.instrument("openai_agents"):
            await _run(lc, config, ask)
        await client.close()
    _check(tree, captured, "ask", 5)
    assert tree.names_above("in-work") == ["work"]
