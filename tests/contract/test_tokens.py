"""A session's token sum, whoever else traces the same model calls: real clients against a scripted server."""

from __future__ import annotations

import asyncio
import sys
from contextlib import ExitStack
from itertools import combinations, count

import anthropic
import openai
import pytest
from agents import Agent as SDKAgent
from agents import OpenAIChatCompletionsModel, OpenAIResponsesModel, Runner, set_trace_processors
from langchain_anthropic import ChatAnthropic
from langchain_openai import ChatOpenAI
from pydantic_ai import Agent
from pydantic_ai.models.anthropic import AnthropicModel
from pydantic_ai.models.openai import OpenAIChatModel
from pydantic_ai.models.openai import OpenAIResponsesModel as PydanticResponses
from pydantic_ai.providers.anthropic import AnthropicProvider
from pydantic_ai.providers.openai import OpenAIProvider

import lucidic as lai
from lucidic.testing import Reply, ScriptedServer, Usage, session_id_of


SPENT = Usage(prompt=11, completion=7)
FRAMEWORKS = ("langchain", "pydantic_ai", "openai_agents")
CLIENTS = ("openai", "anthropic")
PYDANTIC_AI_SPEAKS_ANTHROPIC = sys.version_info >= (3, 11)
SETS = [
    (*frameworks, *clients)
    for many in range(len(FRAMEWORKS) + 1)
    for frameworks in combinations(FRAMEWORKS, many)
    for clients in ((), ("openai",), ("anthropic",), CLIENTS)
]


async def langchain_openai(server, http):
    chat = ChatOpenAI(model="m", api_key="none", base_url=server.openai_url, http_async_client=http)
    await chat.ainvoke("hello")


async def langchain_stream(server, http):
    chat = ChatOpenAI(model="m", api_key="none", base_url=server.openai_url, http_async_client=http)
    async for _ in chat.astream("hello", stream_usage=True):
        pass


_seconds = count(600)


async def langchain_anthropic(server, http):
    # ChatAnthropic shares one HTTP client for each address and timeout, for good. A port is used again sooner or
    # later: its client would be the one that was closed here, or is of a loop that has gone.
    chat = ChatAnthropic(model="m", api_key="none", base_url=server.anthropic_url, timeout=next(_seconds))
    await chat.ainvoke("hello")
    await chat._async_client.close()


async def pydantic_openai(server, http):
    client = openai.AsyncOpenAI(api_key="none", base_url=server.openai_url, http_client=http)
    await Agent(OpenAIChatModel("m", provider=OpenAIProvider(openai_client=client))).run("hello")


async def pydantic_responses(server, http):
    client = openai.AsyncOpenAI(api_key="none", base_url=server.openai_url, http_client=http)
    await Agent(PydanticResponses("m", provider=OpenAIProvider(openai_client=client))).run("hello")


async def pydantic_anthropic(server, http):
    if not PYDANTIC_AI_SPEAKS_ANTHROPIC:
        pytest.skip("the last PydanticAI for Python 3.10 does not work with today's anthropic")
    async with anthropic.AsyncAnthropic(api_key="none", base_url=server.anthropic_url) as client:
        await Agent(AnthropicModel("m", provider=AnthropicProvider(anthropic_client=client))).run("hello")


async def sdk_chat(server, http):
    client = openai.AsyncOpenAI(api_key="none", base_url=server.openai_url, http_client=http)
    await Runner.run(SDKAgent(name="a", model=OpenAIChatCompletionsModel("m", client)), "hello")


async def sdk_responses(server, http):
    client = openai.AsyncOpenAI(api_key="none", base_url=server.openai_url, http_client=http)
    await Runner.run(SDKAgent(name="a", model=OpenAIResponsesModel("m", client)), "hello")


async def client_alone(server, http):
    client = openai.AsyncOpenAI(api_key="none", base_url=server.openai_url, http_client=http)
    await client.chat.completions.create(model="m", messages=[{"role": "user", "content": "hello"}])


CALLS = {
    langchain_openai: {"langchain", "openai"},
    langchain_stream: {"langchain", "openai"},
    langchain_anthropic: {"langchain", "anthropic"},
    pydantic_openai: {"pydantic_ai", "openai"},
    pydantic_responses: {"pydantic_ai", "openai"},
    pydantic_anthropic: {"pydantic_ai", "anthropic"},
    sdk_chat: {"openai_agents", "openai"},
    sdk_responses: {"openai_agents", "openai"},
    client_alone: {"openai"},
}
"""Each call, and the providers of which any one suffices to see it."""
FEW = (langchain_openai, langchain_anthropic, pydantic_openai, pydantic_anthropic, sdk_chat, client_alone)
"""What every combination makes; all of them together make every call."""


def spent(captured):
    return [
        sum((span.attributes or {}).get(f"llm.token_count.{kind}", 0) for span in captured.spans)
        for kind in ("prompt", "completion")
    ]


@pytest.mark.parametrize("names", SETS, ids="+".join)
def test_the_tokens_of_a_session_are_counted_once_in_every_combination(captured, names):
    """Whatever set of providers is on, the sum is what the seen calls have cost, neither twice nor not at all."""
    set_trace_processors([])

    calls = [*(CALLS if names == SETS[-1] else FEW)]
    if not PYDANTIC_AI_SPEAKS_ANTHROPIC:
        calls.remove(pydantic_anthropic)

    async def main(server):
        async with openai.DefaultAsyncHttpxClient(trust_env=False) as http:
            for call in calls:
                await call(server, http)

    with ScriptedServer(lambda request: Reply(text="hi", usage=SPENT)) as server, ExitStack() as stack:
        for name in names:
            stack.enter_context(lai.instrument(name))
        with lai.bind_session("user_0001_conv_0001"):
            asyncio.run(main(server))

    seen = sum(bool(providers & set(names)) for providers in map(CALLS.get, calls))

    assert [seen * SPENT.prompt, seen * SPENT.completion] == spent(captured)
    assert {session_id_of(span) for span in captured.spans} <= {"user_0001_conv_0001"}
