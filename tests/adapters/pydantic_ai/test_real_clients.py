"""The real clients of OpenAI and Anthropic against the scripted server."""

from __future__ import annotations

import sys

import pytest
from pydantic_ai import Agent
from pydantic_ai.messages import ThinkingPart

import lucidic as lai
from lucidic.testing import Reply, ScriptedServer, ToolCall, Usage, assert_openinference


anthropic = pytest.importorskip("anthropic")
openai = pytest.importorskip("openai")

A = "conversation-of-ada-0001"
USAGE = Usage(prompt=120, completion=30, cached=100, reasoning=20)


def script(request):
    """Ask for two cities at once, then say what the tools said."""
    if request.tool_results:
        return Reply(text=" and ".join(request.tool_results), usage=USAGE)
    calls = tuple(ToolCall("weather", {"city": city}) for city in ("Rome", "Oslo"))
    return Reply(reasoning="Two cities.", tool_calls=calls, usage=USAGE)


@pytest.fixture
def server():
    with ScriptedServer(script) as running:
        yield running


@pytest.fixture(params=["chat", "responses", "messages"])
async def model(request, server):
    """A model of each API, with a client of its own."""
    from pydantic_ai.models.anthropic import AnthropicModel
    from pydantic_ai.models.openai import OpenAIChatModel, OpenAIResponsesModel
    from pydantic_ai.providers.anthropic import AnthropicProvider
    from pydantic_ai.providers.openai import OpenAIProvider

    if request.param == "messages":
        if sys.version_info < (3, 11):
            pytest.skip("the last PydanticAI for Python 3.10 does not work with today's anthropic")
        client = anthropic.AsyncAnthropic(base_url=server.anthropic_url, api_key="none", max_retries=0)
        yield AnthropicModel("claude-3-test", provider=AnthropicProvider(anthropic_client=client))
    else:
        client = openai.AsyncOpenAI(base_url=server.openai_url, api_key="none", max_retries=0)
        kind = OpenAIChatModel if request.param == "chat" else OpenAIResponsesModel
        yield kind("gpt-5-mini", provider=OpenAIProvider(openai_client=client))
    await client.close()


def weather(city: str) -> str:
    """Say what the weather is in a city."""
    return f"sun in {city}"


@pytest.mark.parametrize("streamed", [False, True])
async def test_a_tool_loop(traced, sessions, model, streamed):
    """Two parallel calls and the answer, plain and streamed: conformant, complete, in the session."""
    agent = Agent(model, name="guide", tools=[weather], instructions="Be brief.")
    with lai.bind_session(A):
        if streamed:
            async with agent.run_stream("Weather?") as stream:
                assert await stream.get_output() == "sun in Rome and sun in Oslo"
            messages = stream.all_messages()
        else:
            result = await agent.run("Weather?")
            assert result.output == "sun in Rome and sun in Oslo"
            messages = result.all_messages()
    ours = [span for span in traced.spans if span.instrumentation_scope.name == "lucidic.pydantic_ai"]
    # Early releases cannot read OpenAI's tokens with today's genai-prices.
    counted = bool(messages[-1].usage.input_tokens)
    assert_openinference(ours, level="warning", ignore=() if counted else ("L7",))
    assert sessions() == {A}
    first, last = (dict(span.attributes) for span in ours if span.name.startswith("chat "))
    assert first["llm.system"] == first["llm.provider"] == model.system
    assert first["llm.finish_reason"] in ("tool_call", "stop")  # "completed", for all that responses say
    if counted:
        assert last["llm.token_count.prompt"] == 120
        assert last["llm.token_count.completion"] == 30
        assert last["llm.token_count.prompt_details.cache_read"] == 100
    else:
        assert [key for key in last if key.startswith("llm.token_count")] == []
    assert last["llm.output_messages.0.message.content"] == "sun in Rome and sun in Oslo"
    assert [
        first[f"llm.output_messages.0.message.tool_calls.{i}.tool_call.function.name"] for i in (0, 1)
    ] == (["weather", "weather"])
    assert "Two cities." in first.values()


async def test_an_error_of_the_provider(traced, model, server):
    """An HTTP error is the model call's error, with the provider's message and what was asked."""
    server._script = lambda request: Reply(status=400, error="no such luck")
    with pytest.raises(Exception, match="no such luck"):
        await Agent(model, name="guide").run("Weather?")
    chat = next(span for span in traced.spans if span.name.startswith("chat "))
    assert chat.status.status_code.name == "ERROR"
    assert any("no such luck" in event.attributes["exception.message"] for event in chat.events)
    assert chat.attributes["llm.input_messages.0.message.content"] == "Weather?"
    assert chat.attributes["llm.model_name"] == model.model_name


async def test_thoughts_go_back_to_the_model(traced, model):
    """What the model thought stands before its calls in the next request's input."""
    agent = Agent(model, name="guide", tools=[weather])
    result = await agent.run("Weather?")
    thoughts = [part for message in result.all_messages() for part in message.parts
                if isinstance(part, ThinkingPart)]  # fmt: skip
    assert thoughts
    last = dict([span for span in traced.spans if span.name.startswith("chat ")][-1].attributes)
    assert last["llm.input_messages.1.message.contents.0.message_content.type"] == "reasoning"
    assert last["llm.input_messages.1.message.contents.0.message_content.text"] == "Two cities."
