"""Messages of Chat Completions, as the generation span holds them (``openai.types.chat``, openai 3)."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from lucidic.adapterkit import Audio, ContentPart, Message, Reasoning, Text, ToolCall, dumps
from lucidic_adapters.openai_agents._responses import get, item_messages, parts_of


def chat_messages(given: object) -> list[Message]:
    """Translate chat messages; items of the Responses API among them are translated as such."""
    if isinstance(given, str):
        return [Message("user", given)]
    if not isinstance(given, Iterable):
        return []
    messages: list[Message] = []
    for item in given:
        messages += chat_item_messages(item)
    return messages


def chat_item_messages(item: object) -> list[Message]:
    """Translate one chat message, or one item of the Responses API."""
    if get(item, "role") is None and get(item, "type") is not None:
        return item_messages(item)
    return [chat_message(item)]


def chat_message(item: object) -> Message:
    """Translate one chat message with its reasoning, refusal, audio and calls."""
    parts: list[ContentPart] = []
    thought = get(item, "reasoning_content") or get(item, "reasoning")
    if isinstance(thought, str):
        parts.append(Reasoning(thought))
    content = parts_of(get(item, "content"))
    if isinstance(content, str):
        parts += [Text(content)] if content else []
    elif content:
        parts += content
    if refusal := get(item, "refusal"):
        parts.append(Text(refusal))
    if audio := get(item, "audio"):
        parts.append(_spoken(audio))
    return Message(
        str(get(item, "role") or "assistant"),
        parts,
        [_call(call) for call in get(item, "tool_calls") or ()],
        tool_call_id=get(item, "tool_call_id"),
        name=get(item, "name"),
    )


def _spoken(audio: object) -> Audio:
    data = get(audio, "data")
    return Audio(
        url=f"data:audio/wav;base64,{data}" if data else None,
        transcript=get(audio, "transcript") or get(audio, "id"),
    )


def _call(call: object) -> ToolCall:
    function: Any = get(call, "function") or get(call, "custom")
    arguments = get(function, "arguments", get(function, "input"))
    return ToolCall(
        get(call, "id"),
        str(get(function, "name") or get(call, "type") or ""),
        arguments if isinstance(arguments, str) or arguments is None else dumps(arguments),
    )
