"""The scripted server under the frameworks: a whole tool loop in each, plain and streamed."""

from __future__ import annotations

import openai
import pytest
from agents import Agent as SDKAgent
from agents import OpenAIChatCompletionsModel, OpenAIResponsesModel, RunConfig, Runner, function_tool
from langchain.agents import create_agent
from langchain_anthropic import ChatAnthropic
from pydantic_ai import Agent
from pydantic_ai.models.openai import OpenAIChatModel
from pydantic_ai.models.openai import OpenAIResponsesModel as PydanticResponsesModel
from pydantic_ai.providers.openai import OpenAIProvider

from lucidic.testing import Reply, ScriptedServer, ToolCall


EXPECTED = "sun in Rome and sun in Oslo"


def script(request):
    """Ask for two cities at once, then say what the tools said."""
    if request.tool_results:
        return Reply(text=" and ".join(request.tool_results), reasoning="Both are known.")
    calls = tuple(ToolCall("weather", {"city": city}) for city in ("Rome", "Oslo"))
    return Reply(reasoning="Two cities.", tool_calls=calls)


def weather(city: str) -> str:
    """Say what the weather is in a city."""
    return f"sun in {city}"


@pytest.fixture
def server():
    with ScriptedServer(script) as running:
        yield running


@pytest.fixture
async def client(server):
    async with openai.AsyncOpenAI(base_url=server.openai_url, api_key="none") as api:
        yield api


async def both_ways(agent):
    """Run a PydanticAI agent plainly and streamed."""
    plain = await agent.run("Weather?")
    async with agent.run_stream("Weather?") as stream:
        return [plain.output, await stream.get_output()]


@pytest.mark.parametrize("model", [OpenAIChatModel, PydanticResponsesModel])
async def test_pydantic_ai_runs_its_tools_with_openai(client, model):
    """PydanticAI's loop of two parallel calls ends with the tools' words, in both of OpenAI's APIs."""
    agent = Agent(model("m", provider=OpenAIProvider(openai_client=client)), tools=[weather])
    assert [EXPECTED, EXPECTED] == await both_ways(agent)


def test_langchain_runs_its_tools_with_anthropic(server):
    """LangChain's loop works with Anthropic's messages, plain and streamed."""
    model = ChatAnthropic(model_name="m", base_url=server.anthropic_url, api_key="none")
    agent = create_agent(model, [weather])
    ask = {"messages": [{"role": "user", "content": "Weather?"}]}
    plain = agent.invoke(ask)["messages"][-1].text
    streamed = [message for message, _ in agent.stream(ask, stream_mode="messages")]
    assert EXPECTED == plain
    assert EXPECTED == "".join(part.text for part in streamed if part.type == "AIMessageChunk")


@pytest.mark.parametrize("model", [OpenAIChatCompletionsModel, OpenAIResponsesModel])
async def test_the_agents_sdk_runs_its_tools(client, model):
    """The OpenAI Agents SDK's loop ends with the tools' words, plain and streamed, in both APIs."""
    agent = SDKAgent(name="a", tools=[function_tool(weather)], model=model(model="m", openai_client=client))
    untraced = RunConfig(tracing_disabled=True)
    plain = await Runner.run(agent, "Weather?", run_config=untraced)
    streamed = Runner.run_streamed(agent, "Weather?", run_config=untraced)
    async for _ in streamed.stream_events():
        pass
    assert [EXPECTED, EXPECTED] == [plain.final_output, streamed.final_output]
