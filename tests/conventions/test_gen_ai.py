"""OpenTelemetry's ``gen_ai.*`` beside OpenInference's attributes."""

from __future__ import annotations

import json

import openai
import pytest
from agents import Agent as SDKAgent
from agents import OpenAIResponsesModel, Runner, function_tool
from langchain.agents import create_agent
from langchain_openai import ChatOpenAI
from pydantic_ai import Agent
from pydantic_ai.models.openai import OpenAIChatModel
from pydantic_ai.providers.openai import OpenAIProvider

import lucidic as lai
from lucidic._export import _conventions_genai
from lucidic.testing import Reply, ScriptedServer, ToolCall


def script(request):
    """Ask for the weather, then say what the tool said."""
    if request.tool_results:
        return Reply(text=request.tool_results[0])
    return Reply(tool_calls=(ToolCall("weather", {"city": "Rome"}),))


def weather(city: str) -> str:
    """Say what the weather is in a city."""
    return f"sun in {city}"


@pytest.fixture
def server():
    with ScriptedServer(script) as running:
        yield running


async def langchain(server):
    model = ChatOpenAI(model="gpt-4o", base_url=server.openai_url, api_key="none")
    agent = create_agent(model, [weather], system_prompt="Be brief.")
    # Python 3.10 cannot give LangChain's tasks a context.
    agent.invoke({"messages": [{"role": "user", "content": "Weather?"}]})


async def pydantic_ai(server):
    async with openai.AsyncOpenAI(base_url=server.openai_url, api_key="none") as client:
        model = OpenAIChatModel("gpt-4o", provider=OpenAIProvider(openai_client=client))
        await Agent(model, tools=[weather], instructions="Be brief.").run("Weather?")


async def openai_agents(server):
    async with openai.AsyncOpenAI(base_url=server.openai_url, api_key="none") as client:
        model = OpenAIResponsesModel(model="gpt-4o", openai_client=client)
        agent = SDKAgent(name="a", instructions="Be brief.", tools=[function_tool(weather)], model=model)
        await Runner.run(agent, "Weather?")


FRAMEWORKS = {"langchain": langchain, "pydantic_ai": pydantic_ai, "openai_agents": openai_agents}


def by_kind(backend, kind):
    found = [dict(attributes(span)) for span in backend.otlp]
    return [each for each in found if each.get("openinference.span.kind") == kind]


def attributes(span):
    for pair in span.attributes:
        kind = pair.value.WhichOneof("value")
        value = getattr(pair.value, kind)
        yield pair.key, [item.string_value for item in value.values] if kind == "array_value" else value


def words(text):
    """The texts of a ``gen_ai`` attribute's messages."""
    return [
        part["content"] for message in json.loads(text) for part in message["parts"] if part["type"] == "text"
    ]


@pytest.mark.parametrize("framework", FRAMEWORKS)
async def test_both_families_say_the_same(backend, server, framework):
    """Each framework's model calls, tools, agents and roots say in ``gen_ai.*`` what they say in OpenInference."""
    lai.init(providers=[framework], conventions=["gen_ai"])
    await FRAMEWORKS[framework](server)
    assert lai.flush(20)
    calls = by_kind(backend, "LLM")
    assert len(calls) == 2
    for call in calls:
        assert call["gen_ai.operation.name"] == "chat"
        assert call["gen_ai.provider.name"] == call["llm.provider"] == "openai"
        assert call["gen_ai.usage.input_tokens"] == call["llm.token_count.prompt"]
        assert call["gen_ai.usage.output_tokens"] == call["llm.token_count.completion"]
        assert call["gen_ai.conversation.id"] == call["session.id"]
        assert call["gen_ai.request.model"] == "gpt-4o"
        assert call["gen_ai.response.model"] == call["llm.model_name"]
        (tool,) = json.loads(call["gen_ai.tool.definitions"])
        assert (tool["type"], tool["name"]) == ("function", "weather")
        assert [part["content"] for part in json.loads(call["gen_ai.system_instructions"])] == ["Be brief."]
        assert words(call["gen_ai.input.messages"]) == ["Weather?"]
    first, last = calls
    (asked,) = json.loads(first["gen_ai.output.messages"])
    (part,) = [part for part in asked["parts"] if part["type"] == "tool_call"]
    assert (part["name"], part["arguments"]) == ("weather", {"city": "Rome"})
    assert asked["finish_reason"] == "tool_call"
    assert words(last["gen_ai.output.messages"]) == ["sun in Rome"]
    (tool,) = by_kind(backend, "TOOL")
    assert tool["gen_ai.operation.name"] == "execute_tool"
    assert tool["gen_ai.tool.name"] == "weather"
    assert tool["gen_ai.tool.call.id"] == tool["tool.id"] == part["id"]
    assert json.loads(tool["gen_ai.tool.call.arguments"]) == {"city": "Rome"}
    assert tool["gen_ai.tool.call.result"] == "sun in Rome"
    (root,) = [dict(attributes(span)) for span in backend.otlp if not span.parent_span_id]
    for run in (root, *by_kind(backend, "AGENT")):
        assert run["gen_ai.operation.name"] in ("invoke_agent", "invoke_workflow")
        assert words(run["gen_ai.input.messages"]) == ["Weather?"]
        assert words(run["gen_ai.output.messages"]) == ["sun in Rome"]


def one_call(tracer):
    with tracer().start_as_current_span(
        "call",
        attributes={
            "openinference.span.kind": "LLM",
            "llm.request.model_name": "gpt-x",
            "llm.response.model_name": "gpt-x-2026",
            "llm.model_name": "gpt-x-2026",
            "llm.token_count.completion_details.reasoning": 5,
            "llm.input_messages.0.message.role": "user",
            "llm.input_messages.0.message.content": "CANARY in",
            "llm.output_messages.0.message.role": "assistant",
            "llm.output_messages.0.message.content": "CANARY out",
        },
    ):
        pass


def test_openinference_variable_asks_for_it(backend, tracer, monkeypatch):
    """OpenInference's own switch does the same, and both model names and reasoning tokens are told."""
    monkeypatch.setenv("OPENINFERENCE_ENABLE_GENAI_SEMCONV", "true")
    lai.init()
    one_call(tracer)
    assert lai.flush(10)
    call = backend.spans["call"]
    assert words(call["gen_ai.output.messages"]) == ["CANARY out"]
    assert (call["gen_ai.request.model"], call["gen_ai.response.model"]) == ("gpt-x", "gpt-x-2026")
    assert call["gen_ai.usage.reasoning.output_tokens"] == 5


def test_off_by_default(backend, tracer):
    """Nobody who asks for nothing gets the messages twice."""
    lai.init()
    one_call(tracer)
    assert lai.flush(10)
    assert {key for key in backend.spans["call"] if key.startswith("gen_ai.")} == {"gen_ai.conversation.id"}


@pytest.mark.parametrize(
    "options",
    [{"masking_function": lambda text: text.replace("CANARY", "***")}, {"capture_content": False}],
    ids=["masked", "left out"],
)
async def test_what_is_hidden_stays_hidden(backend, server, tracer, options):
    """Masking and leaving content out hold for the second family, on calls, tools, agents and roots."""
    lai.init(
        conventions=["gen_ai", "langfuse", "traceloop"], providers=["pydantic_ai"], tags=["CANARY"], **options
    )
    one_call(tracer)
    async with openai.AsyncOpenAI(base_url=server.openai_url, api_key="none") as client:
        model = OpenAIChatModel("gpt-4o", provider=OpenAIProvider(openai_client=client))

        def weather(city: str) -> str:
            return "CANARY weather"

        with lai.using_attributes(metadata={"note": "CANARY"}, tags=["CANARY"]):
            await Agent(model, tools=[weather], instructions="CANARY").run("CANARY?")
    assert lai.flush(10)
    assert backend.spans
    assert not [span.name for span in backend.otlp if b"CANARY" in span.SerializeToString()]


def test_a_moved_translation_is_noticed(backend, tracer, monkeypatch):
    """Should OpenInference move its translation, spans still go out, with what is ours."""
    assert callable(_conventions_genai._translator())
    assert _conventions_genai._translator() is not _conventions_genai._no_translation
    monkeypatch.setitem(__import__("sys").modules, "openinference.instrumentation._genai_conversion", None)
    lai.init(conventions=["gen_ai"])
    one_call(tracer)
    assert lai.flush(10)
    assert backend.spans["call"]["gen_ai.response.model"] == "gpt-x-2026"
    assert "gen_ai.output.messages" not in backend.spans["call"]
