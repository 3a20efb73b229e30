"""Every item of the Responses API and every part of a message is kept, in its place."""

from __future__ import annotations

import json

import pytest
from openai.types.responses import ResponseOutputItem
from pydantic import TypeAdapter

from lucidic.adapterkit import Audio, Document, Image, Message, Reasoning, Text, message_attributes
from lucidic_adapters.openai_agents._chat import chat_messages
from lucidic_adapters.openai_agents._models import _finish_of
from lucidic_adapters.openai_agents._responses import input_messages, messages_of, output_messages
from lucidic_adapters.openai_agents._tools import echoed_tools


HOSTED = [
    ({"type": "web_search_call", "action": {"type": "search", "query": "NEEDLE"}}, "web_search"),
    (
        {"type": "code_interpreter_call", "code": "NEEDLE", "container_id": "c", "outputs": None},
        "code_interpreter",
    ),
    ({"type": "file_search_call", "queries": ["NEEDLE"], "results": None}, "file_search"),
    ({"type": "image_generation_call", "result": None, "prompt": "NEEDLE"}, "image_generation"),
    ({"type": "computer_call", "call_id": "c1", "action": {"type": "type", "text": "NEEDLE"}}, "computer"),
    ({"type": "local_shell_call", "call_id": "c1", "action": {"command": ["NEEDLE"]}}, "local_shell"),
    ({"type": "shell_call", "call_id": "c1", "action": {"commands": ["NEEDLE"]}}, "shell"),
    ({"type": "apply_patch_call", "call_id": "c1", "operation": {"diff": "NEEDLE"}}, "apply_patch"),
    ({"type": "tool_search_call", "call_id": "c1", "arguments": {"q": "NEEDLE"}}, "tool_search"),
    (
        {"type": "mcp_call", "name": "find", "server_label": "docs", "arguments": '{"q": "NEEDLE"}'},
        "docs.find",
    ),
    ({"type": "mcp_list_tools", "server_label": "NEEDLE", "tools": []}, "mcp_list_tools"),
    ({"type": "mcp_approval_request", "name": "find", "arguments": '{"q": "NEEDLE"}'}, "find"),
    ({"type": "function_call", "call_id": "c1", "name": "f", "arguments": '{"q": "NEEDLE"}'}, "f"),
    ({"type": "custom_tool_call", "call_id": "c1", "name": "f", "input": "NEEDLE"}, "f"),
    (
        {"type": "function_call", "call_id": "c1", "namespace": "n", "name": "f", "arguments": '"NEEDLE"'},
        "n.f",
    ),
    ({"type": "brand_new_call", "call_id": "c1", "what": "NEEDLE"}, "brand_new"),
]


@pytest.mark.parametrize(("item", "name"), HOSTED, ids=[name for _, name in HOSTED])
def test_calls_of_hosted_tools_are_tool_calls(item, name):
    """Name, id and arguments of every kind of call, also of kinds that came after us."""
    (message, *_) = messages_of([{"id": "i1", "status": "completed", **item}])
    (call,) = message.tool_calls
    assert ("assistant", name) == (message.role, call.name)
    assert call.id == item.get("call_id", "i1")
    assert "NEEDLE" in json.dumps(message_attributes("m", [message]))


RESULTS = [
    {"type": "function_call_output", "call_id": "c1", "output": "NEEDLE"},
    {"type": "function_call_output", "call_id": "c1", "output": [{"type": "input_text", "text": "NEEDLE"}]},
    {
        "type": "computer_call_output",
        "call_id": "c1",
        "output": {"type": "computer_screenshot", "image_url": "NEEDLE"},
    },
    {"type": "local_shell_call_output", "call_id": "c1", "output": "NEEDLE"},
    {"type": "shell_call_output", "call_id": "c1", "output": [{"stdout": "NEEDLE"}]},
    {"type": "apply_patch_call_output", "call_id": "c1", "output": "NEEDLE"},
    {"type": "custom_tool_call_output", "call_id": "c1", "output": "NEEDLE"},
    {"type": "tool_search_output", "call_id": "c1", "tools": [{"name": "NEEDLE"}]},
    {"type": "mcp_approval_response", "approval_request_id": "c1", "approve": False, "reason": "NEEDLE"},
]


@pytest.mark.parametrize("item", RESULTS, ids=[item["type"] for item in RESULTS])
def test_results_are_answers_to_their_call(item):
    """A tool's answer has the role ``tool`` and the id of its call."""
    (message,) = messages_of([item])
    assert ("tool", "c1") == (message.role, message.tool_call_id)
    assert "NEEDLE" in json.dumps(message_attributes("m", [message]))


@pytest.mark.parametrize(
    "item",
    [
        {"type": "item_reference", "id": "NEEDLE"},
        {"type": "compaction", "id": "c", "encrypted_content": "NEEDLE"},
        {"type": "something_new", "text": "NEEDLE"},
    ],
)
def test_items_of_unknown_kinds_are_kept_as_json(item):
    """Nothing is dropped because it is not known."""
    assert "NEEDLE" in json.dumps(message_attributes("m", messages_of([item])))


def test_outcomes_of_hosted_tools_answer_them():
    """What a code interpreter, an image generator and an MCP server gave back follows the call."""
    items = [
        {
            "type": "code_interpreter_call",
            "id": "a",
            "code": "1+1",
            "outputs": [{"type": "logs", "logs": "2"}],
        },
        {"type": "image_generation_call", "id": "b", "result": "aGk=", "output_format": "png"},
        {
            "type": "mcp_call",
            "id": "c",
            "name": "f",
            "server_label": "s",
            "arguments": "{}",
            "output": "found",
        },
    ]
    first, *answers = output_messages(items)
    assert ["a", "b", "c"] == [call.id for call in first.tool_calls]
    assert ["a", "b", "c"] == [answer.tool_call_id for answer in answers]
    assert [Image("data:image/png;base64,aGk=")] == answers[1].content
    assert "found" == answers[2].content


def test_typed_items_are_read_like_mappings():
    """The client's own classes give the same messages as their JSON."""
    raw = [
        {"id": "r", "type": "reasoning", "summary": [{"type": "summary_text", "text": "Thinking."}]},
        {
            "id": "w",
            "type": "web_search_call",
            "status": "completed",
            "action": {"type": "search", "query": "q"},
        },
        {"id": "f", "type": "function_call", "call_id": "c1", "name": "f", "arguments": "{}"},
    ]
    typed = TypeAdapter(list[ResponseOutputItem]).validate_python(raw)
    (message,) = output_messages(typed)
    assert [Reasoning("Thinking.", id="r")] == list(message.content)
    assert ["web_search", "f"] == [call.name for call in message.tool_calls]
    assert "q" == message.tool_calls[0].arguments["action"]["query"]


def test_parts_of_user_messages_are_kept():
    """Text, images, files and sound, of both APIs."""
    responses = [
        {"type": "input_text", "text": "Look"},
        {"type": "input_image", "image_url": "https://x/y.png"},
        {"type": "input_image", "file_id": "file-1"},
        {"type": "input_file", "file_data": "data:application/pdf;base64,aGk=", "filename": "a.pdf"},
        {"type": "input_audio", "input_audio": {"data": "aGk=", "format": "mp3"}},
        {"type": "refusal", "refusal": "No."},
    ]
    (message,) = input_messages([{"role": "user", "content": responses}])
    assert [
        Text("Look"),
        Image("https://x/y.png"),
        Document(id="file-1"),
        Document(url="data:application/pdf;base64,aGk=", name="a.pdf"),
        Audio("data:audio/mp3;base64,aGk=", "audio/mp3"),
        Text("No."),
    ] == message.content
    chat = [
        {"type": "text", "text": "Look"},
        {"type": "image_url", "image_url": {"url": "https://x/y.png"}},
        {"type": "file", "file": {"file_id": "file-1"}},
    ]
    (message,) = chat_messages([{"role": "user", "content": chat}])
    assert [Text("Look"), Image("https://x/y.png"), Document(id="file-1")] == message.content


def test_chat_messages_keep_reasoning_refusals_and_calls():
    """What a model thought, refused, said aloud and asked for."""
    call = {"id": "c1", "type": "function", "function": {"name": "f", "arguments": "{}"}}
    given = {
        "role": "assistant",
        "content": "Hi",
        "reasoning_content": "Hm.",
        "refusal": "No.",
        "tool_calls": [call],
        "audio": {"id": "a1", "transcript": "Hello"},
    }
    (message,) = chat_messages([given])
    assert [Reasoning("Hm."), Text("Hi"), Text("No."), Audio(transcript="Hello")] == message.content
    assert [("c1", "f", "{}")] == [(c.id, c.name, c.arguments) for c in message.tool_calls]


def test_instructions_may_be_a_list():
    """Instructions that a prompt template makes are messages of their own roles."""
    rules = [{"role": "developer", "content": [{"type": "input_text", "text": "Rule"}]}]
    first, second = input_messages("Hi", rules)
    assert ("developer", "user") == (first.role, second.role)
    assert second == Message("user", "Hi")


@pytest.mark.parametrize(
    ("answer", "reason"),
    [
        ({"status": "completed", "output": []}, "stop"),
        ({"status": "completed", "output": [{"type": "function_call"}]}, "tool_calls"),
        ({"status": "incomplete", "incomplete_details": {"reason": "max_output_tokens"}}, "length"),
        ({"status": "incomplete", "incomplete_details": {"reason": "content_filter"}}, "content_filter"),
        ({"status": "failed"}, "failed"),
        (None, None),
    ],
)
def test_the_finish_reason_is_told_in_the_words_of_chat(answer, reason):
    """A response's status and items say why it ended."""
    assert reason == _finish_of(answer)


def test_hosted_tools_are_offered_without_gaps():
    """Tools that the provider runs are among the offered ones, in their order, by their types."""
    tools = [
        {"type": "web_search_preview"},
        {"type": "function", "name": "f", "description": "F.", "parameters": {"type": "object"}},
        {"type": "mcp", "server_label": "docs"},
    ]
    found = echoed_tools({"tools": tools})
    assert ["web_search_preview", "f", "mcp.docs"] == [found[f"llm.tools.{n}.tool.name"] for n in range(3)]
