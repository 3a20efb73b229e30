"""Every release of PydanticAI, every format of its own spans: the same attributes, to the letter."""

from __future__ import annotations

import json
import warnings

import pytest
from pydantic_ai import Agent
from pydantic_ai.messages import ModelResponse, TextPart, ThinkingPart
from pydantic_ai.models.instrumented import InstrumentationSettings
from pydantic_ai.usage import RequestUsage

import lucidic as lai


A = "conversation-of-ada-0001"
SCHEMA = {
    "additionalProperties": False,
    "properties": {"city": {"type": "string"}},
    "required": ["city"],
    "type": "object",
}
TOOL = {"name": "look", "description": "Look at a city.", "parameters": SCHEMA}
IDS = dict.fromkeys(("lucidic.session_id", "session.id", "gen_ai.conversation.id"), A)
CALL = {
    "openinference.span.kind": "LLM",
    "lucidic.session.source": "parent",
    **IDS,
    "llm.model_name": "scripted",
    "llm.system": "function",
    "llm.provider": "function",
    "llm.invocation_parameters": {"temperature": 0.5},
    "llm.tools.0.tool.name": "look",
    "llm.tools.0.tool.description": "Look at a city.",
    "llm.tools.0.tool.json_schema": {"type": "function", "function": TOOL},
    "llm.input_messages.0.message.role": "system",
    "llm.input_messages.0.message.content": "Be kind.",
    "llm.input_messages.1.message.role": "user",
    "llm.input_messages.1.message.content": "How is Rome?",
    "llm.token_count.prompt": 20,
    "llm.token_count.completion": 5,
    "llm.token_count.total": 25,
}
EXPECTED = {
    "invoke_agent guide": {
        "openinference.span.kind": "AGENT",
        "lucidic.session.source": "bound",
        **IDS,
        "agent.name": "guide",
        "metadata": {"tenant": "north"},
        "input.value": "How is Rome?",
        "input.mime_type": "text/plain",
        "output.value": "Sunny.",
        "output.mime_type": "text/plain",
    },
    "first": {
        **CALL,
        "llm.output_messages.0.message.role": "assistant",
        "llm.output_messages.0.message.contents.0.message_content.type": "reasoning",
        "llm.output_messages.0.message.contents.0.message_content.text": "Hm.",
        "llm.output_messages.0.message.contents.0.message_content.signature": "signed",
        "llm.output_messages.0.message.contents.1.message_content.type": "text",
        "llm.output_messages.0.message.contents.1.message_content.text": "Let me see.",
        "llm.output_messages.0.message.tool_calls.0.tool_call.id": "call-1",
        "llm.output_messages.0.message.tool_calls.0.tool_call.function.name": "look",
        "llm.output_messages.0.message.tool_calls.0.tool_call.function.arguments": {"city": "Rome"},
        "llm.token_count.prompt_details.cache_read": 10,
        "input.value": "How is Rome?",
        "input.mime_type": "text/plain",
        "output.value": "Let me see.",
        "output.mime_type": "text/plain",
    },
    "last": {
        **CALL,
        "llm.input_messages.2.message.role": "assistant",
        "llm.input_messages.2.message.contents.0.message_content.type": "reasoning",
        "llm.input_messages.2.message.contents.0.message_content.text": "Hm.",
        "llm.input_messages.2.message.contents.0.message_content.signature": "signed",
        "llm.input_messages.2.message.contents.1.message_content.type": "text",
        "llm.input_messages.2.message.contents.1.message_content.text": "Let me see.",
        "llm.input_messages.2.message.tool_calls.0.tool_call.id": "call-1",
        "llm.input_messages.2.message.tool_calls.0.tool_call.function.name": "look",
        "llm.input_messages.2.message.tool_calls.0.tool_call.function.arguments": {"city": "Rome"},
        "llm.input_messages.3.message.role": "tool",
        "llm.input_messages.3.message.content": "sun",
        "llm.input_messages.3.message.tool_call_id": "call-1",
        "llm.input_messages.3.message.name": "look",
        "llm.output_messages.0.message.role": "assistant",
        "llm.output_messages.0.message.content": "Sunny.",
        "input.value": "sun",
        "input.mime_type": "text/plain",
        "output.value": "Sunny.",
        "output.mime_type": "text/plain",
    },
    "execute_tool look": {
        "openinference.span.kind": "TOOL",
        "lucidic.session.source": "parent",
        **IDS,
        "tool.name": "look",
        "tool.description": "Look at a city.",
        "tool.id": "call-1",
        "tool.parameters": {"city": "Rome"},
        "tool.json_schema": SCHEMA,
        "input.value": {"city": "Rome"},
        "input.mime_type": "application/json",
        "output.value": "sun",
        "output.mime_type": "text/plain",
    },
}


def read(attributes):
    """Return attributes with JSON read: the order of its keys is nobody's promise."""
    return {
        key: json.loads(value) if isinstance(value, str) and value[:1] == "{" else value
        for key, value in attributes.items()
    }


def play(script, call):
    first = ModelResponse(
        [ThinkingPart("Hm.", signature="signed"), TextPart("Let me see."), call("look", city="Rome")],
        usage=RequestUsage(input_tokens=20, output_tokens=5, cache_read_tokens=10),
        model_name="scripted",
    )
    last = ModelResponse(
        [TextPart("Sunny.")], usage=RequestUsage(input_tokens=20, output_tokens=5), model_name="scripted"
    )
    agent = Agent(
        script(first, last), name="guide", instructions="Be kind.", model_settings={"temperature": 0.5}
    )

    @agent.tool_plain
    def look(city: str) -> str:
        """Look at a city."""
        return "sun"

    with lai.bind_session(A):
        agent.run_sync("How is Rome?", metadata={"tenant": "north"})


def check(captured):
    names = iter(("first", "last"))
    found = {
        next(names) if span.name.startswith("chat") else span.name: read(span.attributes)
        for span in captured.spans
    }
    assert found == EXPECTED


def test_this_release(traced, script, call):
    """A run with thoughts, a tool, parameters and cached tokens leaves exactly this."""
    play(script, call)
    check(traced)


@pytest.mark.parametrize("version", [2, 3, 4, 5, 6])
def test_every_format_of_the_settings_before(captured, script, call, version):
    """The format that ``Agent.instrument_all`` was given before makes no difference."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of formats that will go
        try:
            before = InstrumentationSettings(version=version)
        except ValueError:
            pytest.skip(f"this release does not know format {version}")
    Agent.instrument_all(before)
    try:
        with lai.instrument("pydantic_ai"):
            play(script, call)
    finally:
        Agent.instrument_all(False)
    check(captured)
