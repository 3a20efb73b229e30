"""What a realtime model heard and said: the items of a conversation, and one response of the model."""

from __future__ import annotations

from typing import Any

from lucidic.adapterkit import (
    Audio,
    ContentPart,
    Image,
    LiveSpan,
    Message,
    Text,
    ToolCall,
    Usage,
    io_attributes,
    llm_attributes,
    system_name,
)
from lucidic_adapters.openai_agents._responses import get, last_words, usage_of


def message_of(item: object) -> Message:
    """Translate an item of a realtime conversation; of sound its transcript is told, not the sound itself."""
    if get(item, "type") == "function_call":
        call = ToolCall(get(item, "call_id"), str(get(item, "name") or ""), get(item, "arguments"))
        return Message("assistant", tool_calls=[call])
    parts = [part for entry in get(item, "content") or () if (part := _part(entry)) is not None]
    return Message(str(get(item, "role") or "user"), parts)


def _part(entry: object) -> ContentPart | None:
    if url := get(entry, "image_url"):
        return Image(url)
    if text := get(entry, "text") or get(entry, "transcript"):
        return Text(text)
    return Audio(transcript="(not transcribed)") if get(entry, "type") in ("audio", "input_audio") else None


class Response:
    """One response of the model: from the start of its turn to the end, put together from the deltas."""

    def __init__(self, live: LiveSpan, response_id: object) -> None:
        self.live = live
        self.item_ids: set[object] = set()
        self._id = response_id
        self._words: dict[object, str] = {}
        self._calls: list[ToolCall] = []
        self._usage: Usage | None = None

    def add(self, data: Any) -> None:
        """Add an event of the model."""
        kind = get(data, "type")
        if kind == "usage":
            self._usage = _usage(data)
            return
        if kind == "function_call":
            self._calls.append(ToolCall(get(data, "call_id"), str(get(data, "name")), get(data, "arguments")))
            return
        item = get(data, "item_id")
        self.item_ids.add(item)
        self._id = self._id or get(data, "response_id")
        self._words[item] = self._words.get(item, "") + str(get(data, "delta") or "")

    def text(self) -> str | None:
        """Return what was said."""
        return "\n".join(words for words in self._words.values() if words) or None

    def attributes(
        self, heard: list[Message], *, show: bool, client: object, model: object, parameters: dict[str, Any]
    ) -> dict[str, Any]:
        """Describe the call."""
        said = self.text()
        named = str(model) if model else None
        answer = [Message("assistant", said, self._calls)] if said or self._calls else []
        found = llm_attributes(
            provider="openai" if type(client).__name__.startswith("OpenAI") else None,
            system=system_name(model=named) or type(client).__name__,
            model=named or type(client).__name__,
            input_messages=heard if show else (),
            output_messages=answer if show else (),
            invocation_parameters=parameters,
            usage=self._usage,
            finish_reason="tool_calls" if self._calls else "stop",
        )
        if show:
            found |= io_attributes(input=last_words(heard), output=said or self._calls or None)
        return found | {"openai_agents.response_id": self._id}


def _usage(data: Any) -> Usage | None:
    """Return the tokens, of which those of sound are told apart (0.24)."""
    found = usage_of(get(data, "usage"))
    if found is not None:
        found.audio_in = get(get(data, "input_tokens_details"), "audio_tokens")
        found.audio_out = get(get(data, "output_tokens_details"), "audio_tokens")
    return found
