"""What spans say of a run: every part of every message, in order, from the objects themselves."""

from __future__ import annotations

import json

import pytest
from pydantic import BaseModel
from pydantic_ai import (
    Agent,
    AudioUrl,
    BinaryContent,
    DocumentUrl,
    Embedder,
    ImageUrl,
    ToolOutput,
    ToolReturn,
    VideoUrl,
)
from pydantic_ai.embeddings import TestEmbeddingModel
from pydantic_ai.messages import ModelRequest, ModelResponse, TextPart, ThinkingPart, UserPromptPart
from pydantic_ai.models.test import TestModel
from pydantic_ai.usage import RequestUsage

import lucidic as lai
from lucidic.testing import assert_openinference


A = "conversation-of-ada-0001"


def parts(attributes, prefix):
    """Return the contents of one message as (type, payload) pairs."""
    found = []
    while f"{prefix}.message.contents.{len(found)}.message_content.type" in attributes:
        key = f"{prefix}.message.contents.{len(found)}."
        payload = [
            value for name, value in attributes.items() if name.startswith(key) and not name.endswith(".type")
        ]
        found.append((attributes[f"{key}message_content.type"], *payload))
    return found


def roles(attributes, where="llm.input_messages"):
    """Return the roles of a span's messages; a gap in the numbers ends the list."""
    found = []
    while (role := attributes.get(f"{where}.{len(found)}.message.role")) is not None:
        found.append(role)
    return found


class City(BaseModel):
    name: str
    people: int


def test_an_agents_span(traced, script, attributes_of):
    """The run has the agent's name, the user's words of this turn and the answer as text."""
    agent = Agent(script("Hello, Ada.", "Goodbye."), name="greeter")
    history = agent.run_sync("I am Ada.").all_messages()
    traced.clear()
    agent.run_sync("I must go.", message_history=history, metadata={"tenant": "north"})
    run = attributes_of("invoke_agent greeter")
    assert run["agent.name"] == "greeter"
    assert (run["input.value"], run["input.mime_type"]) == ("I must go.", "text/plain")
    assert (run["output.value"], run["output.mime_type"]) == ("Goodbye.", "text/plain")
    assert json.loads(run["metadata"]) == {"tenant": "north"}
    assert not [key for key in run if key.startswith("llm.")]


def test_every_part_of_the_users_words(traced, script, attributes_of):
    """Text, image, sound, film and documents are all there, in order."""
    agent = Agent(script("Nice."), name="viewer")
    agent.run_sync(
        [
            "look",
            ImageUrl("https://files.test/cat.png"),
            BinaryContent(b"png", media_type="image/png"),
            AudioUrl("https://files.test/purr.mp3"),
            BinaryContent(b"wav", media_type="audio/wav"),
            VideoUrl("https://files.test/cat.mp4"),
            DocumentUrl("https://files.test/cat.pdf"),
            BinaryContent(b"pdf", media_type="application/pdf"),
            "well?",
        ]
    )
    found = parts(attributes_of("chat scripted"), "llm.input_messages.0")
    assert [part[0] for part in found] == [
        "text", "image", "image", "audio", "audio", "video", "document", "document", "text",
    ]  # fmt: skip
    assert found[1][1] == "https://files.test/cat.png"
    assert found[2][1] == "data:image/png;base64,cG5n"
    assert found[4][1:] == ("data:audio/wav;base64,d2F2", "audio/wav")
    assert found[7][1:] == ("data:application/pdf;base64,cGRm", "application/pdf")
    assert attributes_of("invoke_agent viewer")["input.value"] == "look\nwell?"


def test_thoughts(traced, script, attributes_of):
    """Thoughts keep their text, id and signature, redacted ones their data."""
    thoughts = [
        ThinkingPart("Let me see.", id="rs_1", signature="sig", provider_name="anthropic"),
        ThinkingPart("", id="redacted_thinking", signature="sealed", provider_name="anthropic"),
        ThinkingPart("", id="rs_2", signature="secret", provider_name="openai"),
        TextPart("42"),
    ]
    Agent(script(thoughts), name="thinker").run_sync("What is it?")
    chat = attributes_of("chat scripted")
    found = parts(chat, "llm.output_messages.0")
    assert [part[0] for part in found] == ["reasoning", "reasoning", "reasoning", "text"]
    prefix = "llm.output_messages.0.message.contents."
    assert chat[f"{prefix}0.message_content.text"] == "Let me see."
    assert chat[f"{prefix}0.message_content.signature"] == "sig"
    assert chat[f"{prefix}0.message_content.id"] == "rs_1"
    assert chat[f"{prefix}1.message_content.data"] == "sealed"
    assert chat[f"{prefix}2.message_content.encrypted_content"] == "secret"


def test_several_texts_and_calls(traced, script, call, attributes_of):
    """Texts and calls are numbered without gaps; what is said after a call stays after it."""
    answer = [TextPart("one"), TextPart("two"), call("look", "c1", x=1), call("look", "c2", x=2)]
    odd = [TextPart("three"), call("look", "c3", x=3), TextPart("four")]
    agent = Agent(script(answer, odd, "done"), name="talker")

    @agent.tool_plain
    def look(x: int) -> str:
        return str(x)

    agent.run_sync("go")
    first, second, _ = (dict(span.attributes) for span in traced.spans if span.name == "chat scripted")
    prefix = "llm.output_messages.0.message."
    assert parts(first, "llm.output_messages.0") == [("text", "one"), ("text", "two")]
    assert [first[f"{prefix}tool_calls.{i}.tool_call.id"] for i in (0, 1)] == ["c1", "c2"]
    assert json.loads(first[f"{prefix}tool_calls.1.tool_call.function.arguments"]) == {"x": 2}
    assert [part[0] for part in parts(second, "llm.output_messages.0")] == ["text", "tool_use", "text"]


def test_parallel_results(traced, script, call, attributes_of):
    """Each tool's result is a message of its own, with the call it answers and the tool's name."""
    agent = Agent(script([call("one", "c1"), call("two", "c2")], "done"), name="caller")

    @agent.tool_plain
    def one() -> ToolReturn:
        return ToolReturn(return_value={"found": 1}, content="And see this.")

    @agent.tool_plain
    def two() -> list[int]:
        return [1, 2]

    agent.run_sync("go")
    last = dict([span for span in traced.spans if span.name == "chat scripted"][-1].attributes)
    assert roles(last) == ["user", "assistant", "tool", "tool", "user"]
    key = "llm.input_messages."
    answers = {last[f"{key}{i}.message.tool_call_id"]: last[f"{key}{i}.message.content"] for i in (2, 3)}
    assert {name: json.loads(text) for name, text in answers.items()} == {"c1": {"found": 1}, "c2": [1, 2]}
    assert {last[f"{key}{i}.message.name"] for i in (2, 3)} == {"one", "two"}
    assert last[f"{key}4.message.content"] == "And see this."


def test_instructions_and_system_prompts(traced, script, attributes_of):
    """System prompts and instructions come first, as system messages."""
    agent = Agent(script("Yes."), name="polite", system_prompt="Be short.", instructions="Be kind.")
    agent.run_sync("Are you?")
    chat = attributes_of("chat scripted")
    assert roles(chat) == ["system", "system", "user"]
    assert chat["llm.input_messages.0.message.content"] == "Be short."
    assert chat["llm.input_messages.1.message.content"] == "Be kind."


def test_a_run_of_history_alone(traced, script, attributes_of):
    """A run without a prompt shows what the user said last."""
    history = [ModelRequest(parts=[UserPromptPart("Still there?")])]
    Agent(script("Yes."), name="patient").run_sync(message_history=history)
    assert attributes_of("invoke_agent patient")["input.value"] == "Still there?"


def test_tokens(traced, script, attributes_of):
    """Cached, reasoning and audio tokens are told apart, and only model calls count."""
    usage = RequestUsage(
        input_tokens=100,
        output_tokens=50,
        cache_read_tokens=40,
        cache_write_tokens=30,
        input_audio_tokens=10,
        output_audio_tokens=5,
        details={"reasoning_tokens": 20},
    )
    Agent(script(ModelResponse(parts=[TextPart("hi")], usage=usage)), name="counter").run_sync("hi")
    chat = attributes_of("chat scripted")
    assert {key[len("llm.token_count.") :]: value for key, value in chat.items() if "token_count" in key} == {
        "prompt": 100,
        "completion": 50,
        "total": 150,
        "prompt_details.cache_read": 40,
        "prompt_details.cache_write": 30,
        "prompt_details.audio": 10,
        "completion_details.reasoning": 20,
        "completion_details.audio": 5,
    }
    assert not [key for key in attributes_of("invoke_agent counter") if "token" in key or "usage" in key]


def test_names_of_a_call(traced, script, attributes_of):
    """Finish reason, answered model and the provider's id of the answer are there."""
    response = ModelResponse(
        parts=[TextPart("hi")],
        model_name="gpt-4o-2024-08-06",
        provider_name="openai",
        provider_response_id="resp_1",
        finish_reason="length",
        usage=RequestUsage(input_tokens=1_000_000, output_tokens=1_000),
    )
    Agent(script(response), name="namer").run_sync("hi")
    chat = attributes_of("chat scripted")
    assert chat["llm.finish_reason"] == "length"
    assert chat["gen_ai.response.id"] == "resp_1"
    assert chat["llm.model_name"] in ("gpt-4o-2024-08-06", "scripted")  # FunctionModel puts its own name
    if "llm.cost.total" in chat:
        assert chat["llm.cost.total"] > 0


def test_parameters(traced, script, attributes_of):
    """Every setting that was sent is there, under the provider's names; headers are not."""
    settings = {
        "temperature": 0.5,
        "max_tokens": 7,
        "stop_sequences": ["END"],
        "parallel_tool_calls": False,
        "openai_reasoning_effort": "low",
        "extra_headers": {"Authorization": "secret"},
        "timeout": 3,
    }
    Agent(script("hi"), name="setter", model_settings=settings).run_sync("hi")
    found = json.loads(attributes_of("chat scripted")["llm.invocation_parameters"])
    assert found == {
        "temperature": 0.5,
        "max_tokens": 7,
        "stop_sequences": ["END"],
        "parallel_tool_calls": False,
        "reasoning_effort": "low",
    }


def test_a_tools_span(traced, script, call, attributes_of):
    """A tool's span says what the tool is, which call it answers, what went in and what came out."""
    agent = Agent(script([call("look", "c1", city="Rome")], "done"), name="caller")

    @agent.tool_plain
    def look(city: str) -> dict[str, int]:
        """Look at a city."""
        return {"towers": len(city)}

    agent.run_sync("go")
    tool = attributes_of("execute_tool look")
    assert tool["tool.name"] == "look"
    assert tool["tool.description"] == "Look at a city."
    assert tool["tool.id"] == "c1"
    assert json.loads(tool["tool.json_schema"])["properties"] == {"city": {"type": "string"}}
    assert json.loads(tool["tool.parameters"]) == {"city": "Rome"}
    assert (json.loads(tool["input.value"]), tool["input.mime_type"]) == (
        {"city": "Rome"},
        "application/json",
    )
    assert (json.loads(tool["output.value"]), tool["output.mime_type"]) == ({"towers": 4}, "application/json")
    chat = dict(next(span for span in traced.spans if span.name == "chat scripted").attributes)
    offered = json.loads(chat["llm.tools.0.tool.json_schema"])
    assert offered["function"]["description"] == "Look at a city."


@pytest.mark.parametrize("name", ["final_result", "give_city"])
def test_structured_output(traced, script, call, attributes_of, name):
    """Structured output is JSON on the run, under whatever name the tool has."""
    agent = Agent(
        script([call(name, name="Rome", people=3)]), name="shaper", output_type=ToolOutput(City, name=name)
    )
    assert agent.run_sync("go").output == City(name="Rome", people=3)
    run = attributes_of("invoke_agent shaper")
    assert json.loads(run["output.value"]) == {"name": "Rome", "people": 3}
    assert run["output.mime_type"] == "application/json"
    offered = json.loads(attributes_of("chat scripted")["llm.tools.0.tool.json_schema"])
    assert offered["function"]["name"] == name


def test_an_output_function(traced, script, call, attributes_of):
    """An output function is a tool's run, with the arguments as the model wrote them."""

    def count(name: str) -> int:
        return len(name)

    agent = Agent(script([call("final_result", "c9", name="Rome")]), name="shaper", output_type=count)
    assert agent.run_sync("go").output == 4
    tool = attributes_of("execute_tool final_result")
    assert (json.loads(tool["input.value"]), tool["output.value"]) == ({"name": "Rome"}, "4")
    assert tool["tool.id"] == "c9"
    assert attributes_of("invoke_agent shaper")["output.value"] == "4"


async def test_embeddings(traced, sessions):
    """An embedding call has its texts, vectors, model and tokens, and its session."""
    with lai.bind_session(A):
        result = await Embedder(TestEmbeddingModel(dimensions=3)).embed_documents(["one", "two"])
    span = traced.named("CreateEmbeddings")
    found = dict(span.attributes)
    assert sessions() == {A}
    assert found["openinference.span.kind"] == "EMBEDDING"
    assert found["embedding.model_name"] == "test"
    assert [found[f"embedding.embeddings.{i}.embedding.text"] for i in (0, 1)] == ["one", "two"]
    vectors = [found[f"embedding.embeddings.{i}.embedding.vector"] for i in (0, 1)]
    assert [list(vector) for vector in vectors] == [list(vector) for vector in result.embeddings]
    assert found["llm.token_count.prompt"] == result.usage.input_tokens
    assert_openinference(traced.spans, level="warning", ignore=("L3", "L4"))


async def test_a_stream_says_what_the_whole_answer_says(traced, streaming, script, attributes_of, version):
    """A streamed call leaves the same attributes as one that answers at once."""
    whole = Agent(script("Hello world"), name="talker")
    await whole.run("hi")
    at_once = attributes_of("chat scripted"), attributes_of("invoke_agent talker")
    traced.clear()
    agent = Agent(streaming("Hello ", "world"), name="talker")
    async with agent.run_stream("hi") as stream:
        [text async for text in stream.stream_text()]
    streamed = dict(traced.spans[0].attributes), attributes_of("invoke_agent talker")
    own = {"llm.model_name", "gen_ai.client.operation.time_to_first_chunk"}
    assert {key: value for key, value in streamed[0].items() if key not in own and "token" not in key} == {
        key: value for key, value in at_once[0].items() if key not in own and "token" not in key
    }
    assert streamed[1] == at_once[1]
    if version >= (2, 10):
        assert streamed[0]["gen_ai.client.operation.time_to_first_chunk"] >= 0


def test_fallback(traced, sessions, attributes_of, version):
    """A try that failed has a kind, the error and what was asked; the answer is the other model's."""
    from pydantic_ai.exceptions import ModelHTTPError
    from pydantic_ai.models.fallback import FallbackModel
    from pydantic_ai.models.function import FunctionModel

    def broken(messages, info):
        raise ModelHTTPError(429, "broken", None)

    model = FallbackModel(FunctionModel(broken, model_name="broken"), TestModel(custom_output_text="ok"))
    with lai.bind_session(A):
        Agent(model, name="careful").run_sync("hi")
    assert sessions() == {A}
    assert attributes_of("chat test")["llm.model_name"] == "test"
    if version >= (2, 68):  # earlier releases have no span of the failed try
        failed = traced.named("model request attempt broken")
        assert failed.attributes["openinference.span.kind"] == "LLM"
        assert failed.attributes["input.value"] == "hi"
        assert failed.status.status_code.name == "ERROR"
