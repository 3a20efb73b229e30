"""A conversation of three turns, held with each framework through the real ``openai`` client.

The first turn uses a tool, in the second the tool fails and takes the run with it, the third is plain words.
"""

from __future__ import annotations

import asyncio
import contextlib
import sys
from collections.abc import Mapping
from typing import Any, TypedDict

import agents
import openai
import pytest
from langchain.agents import create_agent
from langchain_core.documents import Document
from langchain_core.retrievers import BaseRetriever
from langchain_core.tools import tool
from langchain_openai import ChatOpenAI
from langgraph.checkpoint.memory import InMemorySaver
from langgraph.graph import END, START, StateGraph
from pydantic_ai import Agent
from pydantic_ai.models.openai import OpenAIChatModel
from pydantic_ai.providers.openai import OpenAIProvider

import lucidic as lai
from lucidic.langchain import LucidicHandler
from lucidic.testing import Reply, ScriptedRequest, ToolCall, Usage


MODEL = "gpt-4o-mini"
USER = "user-7"
QUESTIONS = ("What is the weather in Paris?", "And in Oslo?", "Which of them was warmer?")
ANSWERS = ("It is 21C and sunny in Paris.", None, "Paris, as far as I know.")
FAILURE = "the weather service is down"
ASKED, ANSWERED, PLAIN = (
    Usage(prompt=120, completion=10),
    Usage(prompt=150, completion=30),
    Usage(prompt=200, completion=9),
)


def script(request: ScriptedRequest) -> Reply:
    """Play the model: call the tool that is offered for a city, then say what it said."""
    words, names = request.user_text, _offered(request)
    if request.tool_results:
        return Reply(text=ANSWERS[0], usage=ANSWERED)
    for city in ("Paris", "Oslo"):
        if city in words and names:
            return Reply(tool_calls=(ToolCall(names[0], {"city": city}),), usage=ASKED)
    return Reply(text=ANSWERS[2], usage=PLAIN)


def _offered(request: ScriptedRequest) -> list[str]:
    return [offered.get("function", offered)["name"] for offered in request.body.get("tools") or ()]


def weather(city: str) -> str:
    """Say what the weather is in a city."""
    if city != "Paris":
        raise ConnectionError(FAILURE)
    return "21C, sunny"


class Story:
    """Hold the conversation; ``hold`` may be called once for each object."""

    name: str
    tokens = 120 + 10 + 150 + 30 + 120 + 10 + 200 + 9

    def __init__(self, url: str) -> None:
        self.url = url
        self.client = openai.AsyncOpenAI(base_url=url, api_key="none", max_retries=0)

    async def hold(self, session_id: str) -> None:
        """Ask the three questions; the second one fails."""
        async with self.client:
            with lai.using_attributes(user_id=USER, metadata={"tier": "gold"}, tags=["shop"]):
                await self.ask(session_id, QUESTIONS[0])
                with contextlib.suppress(Exception):
                    await self.ask(session_id, QUESTIONS[1])
                    raise AssertionError("The second turn went well.")
                await self.ask(session_id, QUESTIONS[2])

    async def ask(self, session_id: str, question: str) -> Any:
        """Run one turn, the session named in the framework's own way."""
        raise NotImplementedError


class LangGraph(Story):
    """An agent with memory, its thread the session; in a thread, where Python 3.10 loses nothing either."""

    name = "langgraph"

    def __init__(self, url: str) -> None:
        super().__init__(url)
        self.memory = InMemorySaver()

    async def ask(self, session_id: str, question: str) -> Any:
        with openai.DefaultHttpxClient() as http:
            chat = ChatOpenAI(model=MODEL, base_url=self.url, api_key="none", http_client=http)
            agent = create_agent(chat, [tool(weather)], checkpointer=self.memory, name="guide")
            return await asyncio.to_thread(
                agent.invoke,
                {"messages": [("user", question)]},
                {"configurable": {"thread_id": session_id}, "callbacks": [LucidicHandler()]},
            )


class PydanticAI(Story):
    """An agent that is given what was said, its conversation the session."""

    name = "pydantic_ai"

    def __init__(self, url: str) -> None:
        super().__init__(url)
        model = OpenAIChatModel(MODEL, provider=OpenAIProvider(openai_client=self.client))
        self.agent = Agent(model, name="guide", tools=[weather])
        self.history: list[Any] = []

    async def ask(self, session_id: str, question: str) -> Any:
        result = await self.agent.run(question, message_history=self.history, conversation_id=session_id)
        self.history = result.all_messages()
        return result


class OpenAIAgents(Story):
    """An agent with the SDK's own memory, whose id is the session."""

    name = "openai_agents"

    def __init__(self, url: str) -> None:
        super().__init__(url)
        self.agent = agents.Agent(
            name="guide",
            model=agents.OpenAIResponsesModel(MODEL, openai_client=self.client),
            tools=[agents.function_tool(weather, failure_error_function=None)],
        )
        self.memory: agents.SQLiteSession | None = None

    async def hold(self, session_id: str) -> None:
        self.memory = agents.SQLiteSession(session_id)
        try:
            await super().hold(session_id)
        finally:
            self.memory.close()

    async def ask(self, session_id: str, question: str) -> Any:
        return await agents.Runner.run(self.agent, question, session=self.memory)


class _State(TypedDict, total=False):
    question: str
    known: list[str]
    answer: str


class _Atlas(BaseRetriever):
    def _get_relevant_documents(self, query: str, *, run_manager: Any) -> list[Document]:
        return [Document(id="paris", page_content="Paris is in France.", metadata={"score": 0.9})]


class Mixed(Story):
    """A graph whose node asks PydanticAI, whose tool asks an agent of the OpenAI SDK, which has the tool."""

    name = "mixed"
    tokens = 2 * (120 + 10 + 150 + 30 + 120 + 10) + 200 + 9

    def __init__(self, url: str) -> None:
        super().__init__(url)
        station = agents.Agent(
            name="station",
            model=agents.OpenAIResponsesModel(MODEL, openai_client=self.client),
            tools=[agents.function_tool(weather, failure_error_function=None)],
        )

        async def measure(city: str) -> str:
            """Ask the station of a city."""
            return str((await agents.Runner.run(station, f"Measure in {city}.")).final_output)

        model = OpenAIChatModel(MODEL, provider=OpenAIProvider(openai_client=self.client))
        guide = Agent(model, name="guide", tools=[measure])
        atlas = _Atlas()

        async def look_up(state: _State) -> Mapping[str, Any]:
            return {"known": [document.page_content for document in await atlas.ainvoke(state["question"])]}

        async def answer(state: _State) -> Mapping[str, Any]:
            return {"answer": (await guide.run(state["question"])).output}

        graph: Any = StateGraph(_State)
        graph.add_node("look_up", look_up)
        graph.add_node("answer", answer)
        graph.add_edge(START, "look_up")
        graph.add_edge("look_up", "answer")
        graph.add_edge("answer", END)
        self.graph = graph.compile(name="travel desk")

    async def ask(self, session_id: str, question: str) -> Any:
        async with lai.bind_session_async(session_id):
            return await self.graph.ainvoke({"question": question}, {"callbacks": [LucidicHandler()]})


LOSES = pytest.mark.skipif(
    sys.version_info < (3, 11), reason="before Python 3.11 LangChain loses its runs in async nodes"
)
STORIES = (LangGraph, PydanticAI, OpenAIAgents, pytest.param(Mixed, marks=LOSES))
