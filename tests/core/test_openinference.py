"""Facts become flattened OpenInference attributes."""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lucidic._spans._facts import (
    Audio,
    Document,
    Image,
    Message,
    Reasoning,
    Text,
    ToolCall,
    ToolSchema,
    Usage,
    Video,
)
from lucidic._spans._io import io_attributes
from lucidic._spans._messages import message_attributes
from lucidic._spans._openinference import (
    agent_attributes,
    embedding_attributes,
    graph_node_attributes,
    llm_attributes,
    prompt_template_attributes,
    reranker_attributes,
    retriever_attributes,
    tool_attributes,
)
from lucidic._spans._vendors import provider_name, system_name


words = st.text(max_size=20)
maybe = st.none() | words
calls = st.builds(
    ToolCall, maybe, words, st.none() | words | st.dictionaries(words, st.integers() | st.floats()), maybe
)
documents = st.builds(
    Document,
    maybe,
    st.none() | words | st.integers(),
    st.none() | st.floats(),
    st.none() | st.dictionaries(words, st.binary() | st.dates()),
    maybe,
    maybe,
    maybe,
)
parts = st.one_of(
    st.builds(Text, words),
    st.builds(Image, words),
    st.builds(Audio, maybe, maybe, maybe),
    st.builds(Video, words),
    st.builds(Reasoning, maybe, maybe, maybe, maybe, maybe),
    documents,
    calls,
    st.integers(),
)
messages = st.builds(
    Message, words, st.none() | words | st.lists(parts, max_size=4), st.lists(calls, max_size=3), maybe, maybe
)


def _indices(keys, prefix):
    found = {key[len(prefix) + 1 :].split(".")[0] for key in keys if key.startswith(prefix + ".")}
    return sorted(int(index) for index in found)


def _is_primitive(value):
    return type(value) in (str, int, float, bool)


@given(st.lists(messages, max_size=4))
def test_flattening_leaves_no_gaps_and_only_primitives(history):
    """Whatever the messages are, every list is numbered 0, 1, 2, … and every value is a plain primitive."""
    found = message_attributes("llm.input_messages", history)

    assert list(range(len(history))) == _indices(found, "llm.input_messages")
    for position in range(len(history)):
        for inner in ("message.contents", "message.tool_calls"):
            numbers = _indices(found, f"llm.input_messages.{position}.{inner}")
            assert list(range(len(numbers))) == numbers
    assert all(_is_primitive(value) for value in found.values())
    for value in found.values():
        str(value).encode()


@given(st.lists(messages, max_size=2))
def test_tool_call_arguments_are_always_json(history):
    """A reader can parse every tool call's arguments, even those that a model left unfinished."""
    for key, value in message_attributes("llm.output_messages", history).items():
        if key.endswith("tool_call.function.arguments"):
            json.loads(value)


def test_text_goes_to_content_and_parts_to_contents():
    """Plain text, and a single part of text, are ``message.content``; several parts are ``message.contents``."""
    found = message_attributes(
        "llm.input_messages",
        [
            Message("user", "a"),
            Message("user", [Text("b")]),
            Message("user", [Text("c"), Image("http://i/1")]),
        ],
    )

    assert {
        "llm.input_messages.0.message.role": "user",
        "llm.input_messages.0.message.content": "a",
        "llm.input_messages.1.message.role": "user",
        "llm.input_messages.1.message.content": "b",
        "llm.input_messages.2.message.role": "user",
        "llm.input_messages.2.message.contents.0.message_content.type": "text",
        "llm.input_messages.2.message.contents.0.message_content.text": "c",
        "llm.input_messages.2.message.contents.1.message_content.type": "image",
        "llm.input_messages.2.message.contents.1.message_content.image.image.url": "http://i/1",
    } == found


def test_parts_without_payload_are_left_out():
    """Reasoning of which only the id is known takes no number away from the parts that follow."""
    found = message_attributes("m", [Message("assistant", [Reasoning(id="rs_1"), Text("a"), Audio()])])

    assert {
        "m.0.message.role": "assistant",
        "m.0.message.contents.0.message_content.type": "text",
        "m.0.message.contents.0.message_content.text": "a",
    } == found


@pytest.mark.parametrize(
    ("part", "expected"),
    [
        (
            Audio("http://a", "audio/wav", "hi"),
            {
                "type": "audio",
                "audio.audio.url": "http://a",
                "audio.audio.mime_type": "audio/wav",
                "audio.audio.transcript": "hi",
            },
        ),
        (Video("http://v"), {"type": "video", "video.video.url": "http://v"}),
        (
            Document(url="http://d", mime_type="application/pdf", name="d.pdf", id="file-1", content="text"),
            {
                "type": "document",
                "document.document.url": "http://d",
                "document.document.mime_type": "application/pdf",
                "document.document.name": "d.pdf",
                "document.document.id": "file-1",
                "document.document.content": "text",
            },
        ),
        (
            Reasoning("think", "rs_1", "sig", "secret", "redacted"),
            {
                "type": "reasoning",
                "text": "think",
                "id": "rs_1",
                "signature": "sig",
                "encrypted_content": "secret",
                "data": "redacted",
            },
        ),
    ],
)
def test_each_kind_of_part_has_its_keys(part, expected):
    """Every kind of part is written under the keys that the specification gives it."""
    found = message_attributes("m", [Message("user", [part, Text("x")])])

    prefix = "m.0.message.contents.0.message_content."
    assert expected == {k.removeprefix(prefix): v for k, v in found.items() if k.startswith(prefix)}


def test_tool_calls_and_answers_share_an_id():
    """A tool call has id, name and arguments; the tool's answer names the call."""
    found = message_attributes(
        "m",
        [
            Message("assistant", tool_calls=[ToolCall("c1", "add", {"a": 1}), ToolCall("c2", "now", "")]),
            Message("tool", "2", tool_call_id="c1", name="add"),
        ],
    )

    assert "c1" == found["m.0.message.tool_calls.0.tool_call.id"]
    assert '{"a": 1}' == found["m.0.message.tool_calls.0.tool_call.function.arguments"]
    assert "{}" == found["m.0.message.tool_calls.1.tool_call.function.arguments"]
    assert "c1" == found["m.1.message.tool_call_id"]
    assert "add" == found["m.1.message.name"]


def test_a_model_call_in_full():
    """A call of a model has its names, parameters, tools, tokens and reason to stop."""
    found = llm_attributes(
        provider="AzureChatOpenAI",
        request_model="gpt-4o",
        response_model="gpt-4o-2024-08-06",
        invocation_parameters={"temperature": 0},
        tools=[ToolSchema("add", "Adds.", {"type": "object"})],
        usage=Usage(prompt=10, completion=5, total=99, cache_read=4, reasoning=2, cache_write=0),
        finish_reason="stop",
        prompts=["p"],
        choices=["c"],
    )

    schema = json.loads(found.pop("llm.tools.0.tool.json_schema"))
    assert {
        "type": "function",
        "function": {"name": "add", "description": "Adds.", "parameters": {"type": "object"}},
    } == schema
    assert {
        "llm.system": "openai",
        "llm.provider": "azure",
        "llm.model_name": "gpt-4o-2024-08-06",
        "llm.request.model_name": "gpt-4o",
        "llm.response.model_name": "gpt-4o-2024-08-06",
        "llm.invocation_parameters": '{"temperature": 0}',
        "llm.tools.0.tool.name": "add",
        "llm.tools.0.tool.description": "Adds.",
        "llm.prompts.0.prompt.text": "p",
        "llm.choices.0.completion.text": "c",
        "llm.finish_reason": "stop",
        "llm.token_count.prompt": 10,
        "llm.token_count.completion": 5,
        "llm.token_count.total": 15,
        "llm.token_count.prompt_details.cache_read": 4,
        "llm.token_count.completion_details.reasoning": 2,
    } == found


@pytest.mark.parametrize("count", [-1, True, "7", float("nan"), 2**63])
def test_impossible_token_counts_are_left_out(count):
    """A count that is no count is not written, and no total is made from it."""
    assert {"llm.token_count.completion": 2} == llm_attributes(usage=Usage(prompt=count, completion=2))


def test_equal_model_names_are_written_once():
    """The names asked for and answered are written on their own only when they differ."""
    assert {"llm.system": "xai", "llm.model_name": "grok-4"} == llm_attributes(
        request_model="grok-4", response_model="grok-4"
    )


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        ({"a": 1}, '{"a": 1}'),
        ('{"a":1}', '{"a":1}'),
        ("plain", '{"input": "plain"}'),
        ("[1]", '{"input": "[1]"}'),
        ([1], '{"input": [1]}'),
        ('{"a": NaN}', '{"input": "{\\"a\\": NaN}"}'),
    ],
)
def test_tool_parameters_are_an_object(arguments, expected):
    """A tool's parameters are a JSON object, whatever the tool was called with."""
    found = tool_attributes("add", description="Adds.", arguments=arguments, id="c1")

    assert {
        "tool.name": "add",
        "tool.description": "Adds.",
        "tool.id": "c1",
        "tool.parameters": expected,
    } == found


def test_documents_of_retriever_and_reranker():
    """Documents are numbered, scores are finite floats, metadata is JSON, an integer id stays an integer."""
    first = Document("text", 7, 1, {"page": 3})
    second = Document("more", "b", float("nan"))

    assert {
        "retrieval.documents.0.document.id": 7,
        "retrieval.documents.0.document.content": "text",
        "retrieval.documents.0.document.score": 1.0,
        "retrieval.documents.0.document.metadata": '{"page": 3}',
        "retrieval.documents.1.document.id": "b",
        "retrieval.documents.1.document.content": "more",
    } == retriever_attributes([first, second])
    assert {
        "reranker.query": "q",
        "reranker.model_name": "rerank-1",
        "reranker.top_k": 1,
        "reranker.input_documents.0.document.content": "a",
        "reranker.output_documents.0.document.content": "b",
    } == reranker_attributes(
        query="q",
        model="rerank-1",
        top_k=1,
        input_documents=[Document("a")],
        output_documents=[Document("b")],
    )


def test_embeddings_have_texts_and_vectors():
    """Each embedding has its text and a list of floats; no system or provider is written."""
    assert {
        "embedding.model_name": "e",
        "embedding.invocation_parameters": '{"dimensions": 2}',
        "embedding.embeddings.0.embedding.text": "t",
        "embedding.embeddings.0.embedding.vector": [1.0, 2.0],
        "llm.token_count.prompt": 1,
    } == embedding_attributes(
        model="e", texts=["t"], vectors=[(1, 2)], invocation_parameters={"dimensions": 2}, usage=Usage(1)
    )


def test_agents_nodes_and_templates():
    """Agents, nodes of a graph and prompt templates have their few keys; what is not known is left out."""
    assert {"agent.name": "planner"} == agent_attributes("planner")
    assert {} == agent_attributes(None)
    assert {"graph.node.id": "b", "graph.node.name": "B", "graph.node.parent_id": "a"} == (
        graph_node_attributes("b", name="B", parent_id="a")
    )
    assert {
        "llm.prompt_template.template": "Hi {name}",
        "llm.prompt_template.variables": '{"name": "Ada"}',
        "llm.prompt_template.version": "1",
    } == prompt_template_attributes("Hi {name}", variables={"name": "Ada"}, version="1")


def test_text_is_text_and_the_rest_is_json():
    """Text keeps its words, everything else is JSON with the mime type that says so, None is nothing."""
    assert {
        "input.value": "hello",
        "input.mime_type": "text/plain",
        "output.value": "[1, null]",
        "output.mime_type": "application/json",
    } == io_attributes("hello", [1, None])
    assert {} == io_attributes(None, None)


@pytest.mark.parametrize(
    ("name", "host", "expected"),
    [
        ("ChatOpenAI", None, "openai"),
        ("AzureChatOpenAI", None, "azure"),
        ("google-gla", None, "google"),
        ("gcp.vertex_ai", None, "google"),
        ("aws.bedrock", None, "aws"),
        ("ChatXAI", None, "xai"),
        ("mistral_ai", None, "mistralai"),
        ("OpenRouter", None, "openrouter"),
        ("openai", "https://api.groq.com/openai/v1", "groq"),
        ("openai", "https://me.openai.azure.com:443/x", "azure"),
        ("openai", "smollama.com", "openai"),
        (None, "bedrock-runtime.eu-west-1.amazonaws.com", "aws"),
        (None, "localhost:8080", None),
    ],
)
def test_provider_names_are_the_well_known_ones(name, host, expected):
    """Classes, framework names, gen_ai names and hosts lead to OpenInference's provider."""
    assert expected == provider_name(name, host=host)


@pytest.mark.parametrize(
    ("model", "provider", "expected"),
    [
        ("gpt-4o", "azure", "openai"),
        ("us.anthropic.claude-sonnet-4", "aws", "anthropic"),
        ("claude-4-sonnet", "openai", "anthropic"),
        ("deepseek-r1-distill-llama-70b", "groq", "deepseek"),
        ("models/gemini-2.5-pro", "google", "vertexai"),
        ("ft:gpt-4o-mini:acme", None, "openai"),
        ("my-deployment", "AzureChatOpenAI", "openai"),
        ("my-model", "vllm", "vllm"),
        ("my-model", None, None),
    ],
)
def test_system_is_the_maker_of_the_model(model, provider, expected):
    """The system is read from the model's name before the provider's, since one host serves many makers."""
    assert expected == system_name(model=model, provider=provider)


def test_a_well_known_system_is_believed():
    """A system that the framework names itself outranks what the model's name suggests."""
    assert "openai" == system_name("OpenAI", model="claude-4")
