"""PydanticAI and the OpenAI Agents SDK: agents with sync and async tools, and a hand-over."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Iterator
from contextlib import AbstractContextManager, contextmanager
from typing import Any

from agents import Agent as SDKAgent
from agents import (
    Model,
    ModelResponse,
    ModelSettings,
    RunConfig,
    Runner,
    Usage,
    UserError,
    function_tool,
    set_trace_processors,
)
from agents.memory import SessionABC
from openai.types.responses import (
    Response,
    ResponseCompletedEvent,
    ResponseFunctionToolCall,
    ResponseOutputMessage,
    ResponseOutputText,
)
from pydantic_ai import Agent
from pydantic_ai.messages import (
    ModelMessage,
    TextPart,
    ToolCallPart,
    ToolReturnPart,
    UserPromptPart,
)
from pydantic_ai.messages import (
    ModelResponse as Reply,
)
from pydantic_ai.models.function import AgentInfo, FunctionModel

import lucidic as lai

from .jobs import INNER, INNER_ID, ScriptedError, act_async, act_tool, find_mark, other_id
from .workloads import Workload, user_span


async def _reply(messages: list[ModelMessage], info: AgentInfo) -> Reply:
    parts = [part for message in messages for part in message.parts]
    question = next(str(part.content) for part in parts if isinstance(part, UserPromptPart))
    await act_async(question)
    if info.function_tools and not any(isinstance(part, ToolReturnPart) for part in parts):
        return Reply([ToolCallPart(tool.name, {"argument": question}) for tool in info.function_tools])
    return Reply([TextPart(f"done {question}")])


SCRIPTED = FunctionModel(_reply, model_name="scripted")


_inner: Agent[None, str] = Agent(SCRIPTED, name="inner")


def pydantic_agent() -> Agent[None, str]:
    """Return an agent with a sync and an async tool."""
    agent: Agent[None, str] = Agent(SCRIPTED, name="assistant")

    @agent.tool_plain
    def first(argument: str) -> str:
        with user_span("query", argument):
            act_tool(argument)
            return argument

    @agent.tool_plain
    async def second(argument: str) -> str:
        with user_span("query", argument):
            await asyncio.sleep(0)
            if INNER_ID in argument:
                await _inner.run(argument, conversation_id=other_id(argument))
            return argument

    return agent


class PydanticAI(Workload):
    """An agent with two tools."""

    name = "pydantic_ai"
    keys = ("conversation_id", "metadata.session_id", "metadata.lucidic_session_id", "metadata.thread_id")
    streams = frozenset({"events"})
    orders = frozenset({INNER, INNER_ID})
    agent = pydantic_agent()

    def instrumented(self) -> AbstractContextManager[Any]:
        return lai.instrument("pydantic_ai")

    def run(self, prompt: str, **named: str) -> None:
        asyncio.run(self.arun(prompt, **named))

    async def arun(self, prompt: str, **named: str) -> None:
        await self.agent.run(prompt, **pydantic_options(named))

    async def aevents(self, prompt: str, **named: str) -> AsyncIterator[Any]:
        async with self.agent.iter(prompt, **pydantic_options(named)) as steps:
            async for step in steps:
                yield step


def pydantic_options(named: dict[str, str]) -> dict[str, Any]:
    """Turn the key of a way into what PydanticAI takes."""
    options: dict[str, Any] = {}
    for key, value in named.items():
        place, _, name = key.partition(".")
        options[place] = {**options.get(place, {}), name: value} if name else value
    return options


class ScriptedModel(Model):
    """Calls every tool once, or hands over; then answers."""

    async def get_response(
        self,
        system_instructions: str | None,
        input: str | list[Any],
        model_settings: ModelSettings,
        tools: list[Any],
        output_schema: Any,
        handoffs: list[Any],
        tracing: Any,
        **kwargs: Any,
    ) -> ModelResponse:
        output = await _output(input, tools, handoffs)
        return ModelResponse(output=output, usage=Usage(), response_id=None)

    async def stream_response(
        self,
        system_instructions: str | None,
        input: str | list[Any],
        model_settings: ModelSettings,
        tools: list[Any],
        output_schema: Any,
        handoffs: list[Any],
        tracing: Any,
        **kwargs: Any,
    ) -> AsyncIterator[Any]:
        output = await _output(input, tools, handoffs)
        response = Response(
            id="response",
            created_at=0,
            model="scripted",
            object="response",
            output=output,
            parallel_tool_calls=True,
            tool_choice="auto",
            tools=[],
        )
        yield ResponseCompletedEvent(response=response, sequence_number=0, type="response.completed")


async def _output(input: str | list[Any], tools: list[Any], handoffs: list[Any]) -> list[Any]:
    items = [{"role": "user", "content": input}] if isinstance(input, str) else input
    # With conversation_id the SDK sends only what is new: the words are then in what the tools returned.
    words = [str(item.get("content") or item.get("output")) for item in items]
    question = next((text for text in words if find_mark(text)), "")
    await act_async(question)
    called = {str(item["call_id"]).removeprefix("call-") for item in items if "call_id" in item}
    arguments = json.dumps({"argument": question})
    waiting = [tool.name for tool in tools if tool.name not in called]
    if waiting:
        return [_call(name, arguments) for name in waiting]
    waiting = [handoff.tool_name for handoff in handoffs if handoff.tool_name not in called]
    if waiting:
        return [_call(waiting[0], "{}")]
    text = ResponseOutputText(annotations=[], text=f"done {question}", type="output_text")
    return [
        ResponseOutputMessage(
            id="message", content=[text], role="assistant", status="completed", type="message"
        )
    ]


def _call(name: str, arguments: str) -> ResponseFunctionToolCall:
    return ResponseFunctionToolCall(
        arguments=arguments, call_id=f"call-{name}", name=name, type="function_call", id=f"id-{name}"
    )


@function_tool(failure_error_function=None)
def first(argument: str) -> str:
    """Look something up."""
    with user_span("query", argument):
        act_tool(argument)
        return argument


@function_tool(failure_error_function=None)
async def second(argument: str) -> str:
    """Look something up."""
    with user_span("query", argument):
        await asyncio.sleep(0)
        if INNER_ID in argument:
            await Runner.run(_inner_sdk, argument, run_config=RunConfig(group_id=other_id(argument)))
        return argument


_inner_sdk: SDKAgent[Any] = SDKAgent(name="inner", model=ScriptedModel())


class OpenAIAgents(Workload):
    """An agent with two tools that hands over to another one."""

    name = "openai_agents"
    keys = (
        "group_id",
        "trace_metadata.session_id",
        "trace_metadata.lucidic_session_id",
        "trace_metadata.thread_id",
        "conversation_id",
        "session",
    )
    streams = frozenset({"async"})
    orders = frozenset({INNER, INNER_ID})
    errors = (ScriptedError, UserError)  # what a tool raises comes wrapped
    agent: SDKAgent[Any] = SDKAgent(
        name="front",
        model=ScriptedModel(),
        tools=[first, second],
        handoffs=[SDKAgent(name="back", model=ScriptedModel())],
    )

    @contextmanager
    def instrumented(self) -> Iterator[None]:
        set_trace_processors([])  # without the SDK's own exporter
        with lai.instrument("openai_agents"):
            yield

    def run(self, prompt: str, **named: str) -> None:
        asyncio.run(self.arun(prompt, **named))

    async def arun(self, prompt: str, **named: str) -> None:
        await Runner.run(self.agent, prompt, **_sdk_options(named))

    async def astream(self, prompt: str, **named: str) -> AsyncIterator[Any]:
        result = Runner.run_streamed(self.agent, prompt, **_sdk_options(named))
        async for event in result.stream_events():
            yield event


class Memory(SessionABC):
    """A conversation's memory, as the SDK's own sessions are."""

    def __init__(self, session_id: str) -> None:
        self.session_id = session_id
        self.session_settings = None
        self._items: list[Any] = []

    async def get_items(self, limit: int | None = None) -> list[Any]:
        return list(self._items)

    async def add_items(self, items: list[Any]) -> None:
        self._items += items

    async def pop_item(self) -> Any:
        return self._items.pop() if self._items else None

    async def clear_session(self) -> None:
        self._items.clear()


def _sdk_options(named: dict[str, str]) -> dict[str, Any]:
    options: dict[str, Any] = {}
    config: dict[str, Any] = {}
    for key, value in named.items():
        place, _, name = key.partition(".")
        if place == "session":
            options[place] = Memory(value)
        elif place == "conversation_id":
            options[place] = value
        else:
            config[place] = {**config.get(place, {}), name: value} if name else value
    if config:
        options["run_config"] = RunConfig(**config)
    return options
