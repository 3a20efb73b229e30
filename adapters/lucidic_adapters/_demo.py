"""The last turn of ``lucidic demo``: one question that passes through three frameworks, each inside the other.

A LangGraph node asks a PydanticAI agent, whose tool runs a workflow of the OpenAI Agents SDK, whose tool calls a
LangChain chain. Whether a real model answers or the scripted server makes no difference here.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from typing import Any, Final

import agents
import openai
from langchain_core.output_parsers import StrOutputParser
from langchain_core.prompts import ChatPromptTemplate
from langchain_openai import ChatOpenAI
from langgraph.graph import END, START, MessagesState, StateGraph
from pydantic import SecretStr
from pydantic_ai import Agent
from pydantic_ai.models.openai import OpenAIChatModel
from pydantic_ai.providers.openai import OpenAIProvider

import lucidic as lai
from lucidic.testing import Reply, ScriptedRequest, ToolCall, Usage


QUESTION: Final = "Is one of the lamps bright enough for my desk?"
PROVIDERS: Final = ("langchain", "pydantic_ai", "openai_agents")
_MANUAL: Final = "Reading lamp: 470 lumen, 2700 to 4000 kelvin, arm of 60 cm."
_SUMMARY: Final = "Say in one sentence what the manual says about the brightness.\n\n{manual}"


@contextmanager
def instrumented() -> Iterator[None]:
    """Trace the three frameworks inside the block."""
    agents.set_trace_processors([])  # the SDK's own exporter would send what it sees to OpenAI
    with ExitStack() as stack:
        for name in PROVIDERS:
            stack.enter_context(lai.instrument(name))
        yield


@dataclass(frozen=True, kw_only=True)
class Team:
    """Who answers, and with which model.

    Args:
        model: The model to ask for.
        api_key: The provider's key.
        base_url: Where the provider is. Default: OpenAI.
        trust_env: Whether a proxy of the environment is used.

    """

    model: str
    api_key: str
    base_url: str | None = None
    trust_env: bool = True

    def ask(self, question: str = QUESTION) -> str:
        """Ask the question, and return the answer."""
        given: Any = {"messages": [{"role": "user", "content": question}]}
        return str(self._graph().invoke(given)["messages"][-1].text)

    def _graph(self) -> Any:
        graph: Any = StateGraph(MessagesState)
        graph.add_node("advise", self._advise)
        graph.add_edge(START, "advise")
        graph.add_edge("advise", END)
        return graph.compile(name="lamp_advice")

    def _advise(self, state: MessagesState) -> Any:
        """Answer in a node; it is sync, because Python 3.10 tells async nodes of no run."""
        return {"messages": [("ai", asyncio.run(self._consult(state["messages"][-1].text)))]}

    async def _consult(self, question: str) -> str:
        """Ask a PydanticAI agent that has a workshop."""
        http = openai.DefaultAsyncHttpxClient(trust_env=self.trust_env)
        async with openai.AsyncOpenAI(
            base_url=self.base_url, api_key=self.api_key, http_client=http
        ) as client:
            adviser: Agent[None, str] = Agent(
                OpenAIChatModel(self.model, provider=OpenAIProvider(openai_client=client)),
                name="adviser",
                instructions="Advise on lamps in one sentence. Ask the workshop for facts.",
            )

            @adviser.tool_plain
            async def ask_the_workshop(question: str) -> str:
                """Ask the workshop about a lamp."""
                return await self._run_the_workshop(question, client)

            return (await adviser.run(question)).output

    async def _run_the_workshop(self, question: str, client: openai.AsyncOpenAI) -> str:
        """Run a workflow of the OpenAI Agents SDK that can read the manual."""

        @agents.function_tool
        async def read_the_manual(topic: str) -> str:
            """Read in the lamp's manual."""
            return await asyncio.to_thread(self._read, topic)

        workshop: agents.Agent[Any] = agents.Agent(
            name="workshop",
            instructions="Answer questions about lamps from the manual.",
            tools=[read_the_manual],
            model=agents.OpenAIChatCompletionsModel(self.model, client),
        )
        return str((await agents.Runner.run(workshop, question)).final_output)

    def _read(self, topic: str) -> str:
        """Let a LangChain chain read the manual."""
        with openai.DefaultHttpxClient(trust_env=self.trust_env) as client:
            chat = ChatOpenAI(
                model=self.model,
                api_key=SecretStr(self.api_key),
                base_url=self.base_url,
                http_client=client,
            )
            prompt = ChatPromptTemplate.from_messages([("human", _SUMMARY)])
            chain = (prompt | chat | StrOutputParser()).with_config(run_name="manual")
            return str(chain.invoke({"topic": topic, "manual": _MANUAL}))


def script(request: ScriptedRequest) -> Reply | None:
    """Play the models of this turn; ``None`` for a request of another."""
    offered = {str(tool.get("function", {}).get("name")) for tool in request.body.get("tools", ())}
    for tool, arguments, usage, answer in _SCRIPT:
        if tool in offered and not request.tool_results:
            return Reply(tool_calls=(ToolCall(tool, arguments),), usage=usage)
        if tool in offered:
            return answer
    return _READ if request.user_text.startswith(_SUMMARY.partition("\n")[0]) else None


_SCRIPT: Final = (
    (
        "ask_the_workshop",
        {"question": "How bright is the reading lamp?"},
        Usage(prompt=96, completion=21),
        Reply(
            text="Yes: with 470 lumen either lamp lights a desk well, best set to 4000 kelvin.",
            usage=Usage(prompt=141, completion=24),
        ),
    ),
    (
        "read_the_manual",
        {"topic": "brightness"},
        Usage(prompt=74, completion=16),
        Reply(
            text="The reading lamp gives 470 lumen, adjustable from 2700 to 4000 kelvin.",
            usage=Usage(prompt=118, completion=20),
        ),
    ),
)
"""For each agent its tool, with what arguments it is called, at what cost, and the answer after it."""
_READ: Final = Reply(
    text="The lamp gives 470 lumen at 2700 to 4000 kelvin.", usage=Usage(prompt=52, completion=15)
)
