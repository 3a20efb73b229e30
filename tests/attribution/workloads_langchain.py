"""LangChain and LangGraph: a chain, an agent with two parallel tools, and a graph with parallel nodes."""

from __future__ import annotations

import operator
from collections.abc import AsyncIterator, Iterator
from contextlib import AbstractContextManager
from typing import Annotated, Any, ClassVar, TypedDict

from langchain.agents import create_agent
from langchain_core.language_models.chat_models import BaseChatModel
from langchain_core.messages import AIMessage, AIMessageChunk, BaseMessage, ToolMessage
from langchain_core.output_parsers import StrOutputParser
from langchain_core.outputs import ChatGeneration, ChatGenerationChunk, ChatResult
from langchain_core.prompts import ChatPromptTemplate
from langchain_core.runnables import RunnableConfig, RunnableLambda
from langchain_core.tools import StructuredTool
from langgraph.graph import END, START, StateGraph

import lucidic as lai

from .jobs import FAIL_FIRST, INNER, INNER_ID, BusyError, act, act_async, act_tool, other_id
from .workloads import Workload, user_span


class ScriptedChat(BaseChatModel):
    """Does what the prompt's words ask; calls every bound tool once, then answers."""

    @property
    def _llm_type(self) -> str:
        return "scripted"

    def bind_tools(self, tools: Any, **kwargs: Any) -> Any:
        return self.bind(tools=[tool.name for tool in tools])

    def _generate(self, messages: list[BaseMessage], *args: Any, **kwargs: Any) -> ChatResult:
        act(question_of(messages))
        return _result(messages, kwargs)

    async def _agenerate(self, messages: list[BaseMessage], *args: Any, **kwargs: Any) -> ChatResult:
        await act_async(question_of(messages))
        return _result(messages, kwargs)

    def _stream(
        self, messages: list[BaseMessage], *args: Any, **kwargs: Any
    ) -> Iterator[ChatGenerationChunk]:
        for chunk in _chunks(messages, kwargs):
            act(question_of(messages))
            yield chunk

    async def _astream(
        self, messages: list[BaseMessage], *args: Any, **kwargs: Any
    ) -> AsyncIterator[ChatGenerationChunk]:
        for chunk in _chunks(messages, kwargs):
            await act_async(question_of(messages))
            yield chunk


def question_of(messages: list[BaseMessage]) -> str:
    """Return the words of the run's prompt."""
    return next(str(message.content) for message in messages if message.type == "human")


def _answer(messages: list[BaseMessage], kwargs: dict[str, Any]) -> dict[str, Any]:
    question = question_of(messages)
    if kwargs.get("tools") and not isinstance(messages[-1], ToolMessage):
        calls = [
            {"name": name, "args": {"argument": question}, "id": f"call-{name}"} for name in kwargs["tools"]
        ]
        return {"content": "", "tool_calls": calls}
    return {"content": f"done {question}"}


def _result(messages: list[BaseMessage], kwargs: dict[str, Any]) -> ChatResult:
    return ChatResult(generations=[ChatGeneration(message=AIMessage(**_answer(messages, kwargs)))])


def _chunks(messages: list[BaseMessage], kwargs: dict[str, Any]) -> list[ChatGenerationChunk]:
    parts = [
        AIMessageChunk(**_answer(messages, kwargs)),
        *(AIMessageChunk(content=f" {n}") for n in range(3)),
    ]
    return [ChatGenerationChunk(message=part) for part in parts]


def config_of(named: dict[str, str]) -> RunnableConfig:
    """Turn ``{"metadata.thread_id": …}`` into a config."""
    config: dict[str, dict[str, str]] = {}
    for key, value in named.items():
        place, _, name = key.partition(".")
        config.setdefault(place, {})[name] = value
    return config  # type: ignore[return-value]


class _LangChain(Workload):
    keys = (
        "metadata.session_id",
        "metadata.lucidic_session_id",
        "metadata.conversation_id",
        "metadata.thread_id",
        "configurable.thread_id",
        "configurable.session_id",
    )
    program: ClassVar[Any]
    streams = frozenset({"sync", "async", "events"})
    orders = frozenset({INNER, INNER_ID})
    batches = True

    def instrumented(self) -> AbstractContextManager[Any]:
        return lai.instrument("langchain")

    def given(self, prompt: str) -> Any:
        return {"question": prompt}

    def run(self, prompt: str, **named: str) -> None:
        self.program.invoke(self.given(prompt), config_of(named))

    async def arun(self, prompt: str, **named: str) -> None:
        await self.program.ainvoke(self.given(prompt), config_of(named))

    def stream(self, prompt: str, **named: str) -> Iterator[Any]:
        return self.program.stream(self.given(prompt), config_of(named))  # type: ignore[no-any-return]

    def astream(self, prompt: str, **named: str) -> AsyncIterator[Any]:
        return self.program.astream(self.given(prompt), config_of(named))  # type: ignore[no-any-return]

    def aevents(self, prompt: str, **named: str) -> AsyncIterator[Any]:
        return self.program.astream_events(self.given(prompt), config_of(named), version="v2")  # type: ignore[no-any-return]

    def batch(self, prompts: list[str], named: list[dict[str, str]]) -> None:
        self.program.batch(list(map(self.given, prompts)), list(map(config_of, named)))

    async def abatch(self, prompts: list[str], named: list[dict[str, str]]) -> None:
        await self.program.abatch(list(map(self.given, prompts)), list(map(config_of, named)))


def ask_inside(argument: str) -> None:
    """Do what the argument asks of a tool; a call inside it may name another session in its data."""
    act_tool(argument)
    if INNER_ID in argument:
        _model.invoke(
            argument, {"metadata": {"session_id": other_id(argument), "thread_id": other_id(argument)}}
        )


_model = ScriptedChat()


def _prepare(given: dict[str, str]) -> dict[str, str]:
    with user_span("query", given["question"]):
        ask_inside(given["question"])
        return given


class Chain(_LangChain):
    """prompt | model | parser, after a function of the user's."""

    name = "chain"
    orders = frozenset({INNER, INNER_ID, FAIL_FIRST})
    program = (
        RunnableLambda(_prepare).with_config(run_name="prepare")
        | ChatPromptTemplate.from_messages([("human", "{question}")])
        | ScriptedChat()
        .with_retry(retry_if_exception_type=(BusyError,), wait_exponential_jitter=False, stop_after_attempt=2)
        .with_fallbacks([ScriptedChat()])
        | StrOutputParser()
    )


def _lookup(argument: str) -> str:
    with user_span("query", argument):
        ask_inside(argument)
        return argument


async def _alookup(argument: str) -> str:
    return _lookup(argument)


_TOOLS = [
    StructuredTool.from_function(_lookup, coroutine=_alookup, name=name, description="Look something up.")
    for name in ("first", "second")
]


class AgentWithTools(_LangChain):
    """create_agent with two tools called in parallel."""

    name = "create_agent"
    program = create_agent(ScriptedChat(), _TOOLS)

    def given(self, prompt: str) -> Any:
        return {"messages": [("human", prompt)]}


class _State(TypedDict):
    question: str
    answers: Annotated[list[str], operator.add]


def _node(state: _State) -> dict[str, Any]:
    with user_span("query", state["question"]):
        return {"answers": [str(_model.invoke(state["question"]).content)]}


async def _anode(state: _State) -> dict[str, Any]:
    with user_span("query", state["question"]):
        return {"answers": [str((await _model.ainvoke(state["question"])).content)]}


def _join(state: _State) -> dict[str, Any]:
    with user_span("summary", state["question"]):
        ask_inside(state["question"])
        return {"answers": []}


def _graph() -> Any:
    graph: Any = StateGraph(_State)
    for name in ("left", "right"):
        graph.add_node(name, RunnableLambda(_node, afunc=_anode))
        graph.add_edge(START, name)
        graph.add_edge(name, "join")
    graph.add_node("join", _join)
    graph.add_edge("join", END)
    return graph.compile()


class ParallelGraph(_LangChain):
    """Two nodes in parallel, each with a user's span around a model call, and one that joins them."""

    name = "graph"
    program = _graph()

    def given(self, prompt: str) -> Any:
        return {"question": prompt, "answers": []}


LANGCHAIN = (Chain, AgentWithTools, ParallelGraph)
