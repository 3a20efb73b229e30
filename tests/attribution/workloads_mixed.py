"""A graph whose node calls PydanticAI, whose tool runs the OpenAI Agents SDK, whose tool calls a chain."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterator
from contextlib import ExitStack, contextmanager
from typing import Any

from agents import Agent as SDKAgent
from agents import RunConfig, Runner, function_tool
from langgraph.graph import END, START, StateGraph
from pydantic_ai import Agent

from .jobs import INNER, INNER_ID, act_tool, other_id
from .workloads import Workload, user_span
from .workloads_agents import SCRIPTED, OpenAIAgents, PydanticAI, ScriptedModel
from .workloads_langchain import Chain, ParallelGraph, _State, config_of


@function_tool(failure_error_function=None)
async def ask_the_chain(argument: str) -> str:
    """Ask a chain."""
    with user_span("ask", argument):
        named = {"metadata.thread_id": other_id(argument)} if INNER_ID in argument else {}
        return str(await Chain.program.ainvoke({"question": argument}, config_of(named)))


_workflow: SDKAgent[Any] = SDKAgent(name="workflow", model=ScriptedModel(), tools=[ask_the_chain])
_assistant: Agent[None, str] = Agent(SCRIPTED, name="assistant")


@_assistant.tool_plain
async def run_the_workflow(argument: str) -> str:
    """Run a workflow of the OpenAI Agents SDK."""
    act_tool(argument)
    config = RunConfig(group_id=other_id(argument)) if INNER_ID in argument else None
    result = await Runner.run(_workflow, argument, run_config=config)
    return str(result.final_output)


async def _assist(state: _State) -> dict[str, Any]:
    with user_span("node", state["question"]):
        named = {"conversation_id": other_id(state["question"])} if INNER_ID in state["question"] else {}
        result = await _assistant.run(state["question"], **named)
    return {"answers": [result.output]}


def _note(state: _State) -> dict[str, Any]:
    with user_span("note", state["question"]):
        return {"answers": []}


def _graph() -> Any:
    graph: Any = StateGraph(_State)
    graph.add_node("open", _note)
    graph.add_node("assist", _assist)
    graph.add_node("close", _note)
    graph.add_edge(START, "open")
    graph.add_edge("open", "assist")
    graph.add_edge("assist", "close")
    graph.add_edge("close", END)
    return graph.compile()


class Mixed(Workload):
    """Three frameworks in one another, and plain spans between them."""

    name = "mixed"
    keys = ("metadata.session_id", "metadata.lucidic_session_id", "configurable.thread_id")
    streams = frozenset({"async", "events"})
    orders = frozenset({INNER, INNER_ID})
    batches = True
    program = _graph()

    @contextmanager
    def instrumented(self) -> Iterator[None]:
        with ExitStack() as stack:
            for workload in (ParallelGraph(), PydanticAI(), OpenAIAgents()):
                stack.enter_context(workload.instrumented())
            yield

    def run(self, prompt: str, **named: str) -> None:
        asyncio.run(self.arun(prompt, **named))

    async def arun(self, prompt: str, **named: str) -> None:
        await self.program.ainvoke({"question": prompt, "answers": []}, config_of(named))

    def astream(self, prompt: str, **named: str) -> AsyncIterator[Any]:
        return self.program.astream({"question": prompt, "answers": []}, config_of(named))  # type: ignore[no-any-return]

    def aevents(self, prompt: str, **named: str) -> AsyncIterator[Any]:
        return self.program.astream_events(  # type: ignore[no-any-return]
            {"question": prompt, "answers": []}, config_of(named), version="v2"
        )

    def batch(self, prompts: list[str], named: list[dict[str, str]]) -> None:
        asyncio.run(self.abatch(prompts, named))

    async def abatch(self, prompts: list[str], named: list[dict[str, str]]) -> None:
        given = [{"question": prompt, "answers": []} for prompt in prompts]
        await self.program.abatch(given, list(map(config_of, named)))
