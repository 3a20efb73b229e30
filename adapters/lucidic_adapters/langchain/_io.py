"""What went into a run and what came out: a person's words at a turn's root, JSON elsewhere."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping, Sequence
from functools import lru_cache
from typing import Any, Final

from langchain_core.documents import Document
from langchain_core.messages import AIMessage, BaseMessage, ToolMessage
from langchain_core.outputs import Generation
from langchain_core.prompt_values import PromptValue
from pydantic import BaseModel

from lucidic.adapterkit import clean, dumps, json_encoder


_ASKING: Final = ("input", "question", "query", "text", "prompt", "content", "human_input", "user_input")
_ANSWERING: Final = (
    "output",
    "answer",
    "result",
    "response",
    "text",
    "output_text",
    "content",
    "final_answer",
)
_ANSWERER: Final = ("ai", "assistant", "AIMessageChunk")


def words_in(value: Any) -> str | None:
    """Return what the person said, or ``None`` where nothing in the input is a person's words."""
    if isinstance(value, str):
        return value
    if hasattr(type(value), "resume") and hasattr(value, "goto"):  # langgraph's Command
        resume = value.resume
        return resume if isinstance(resume, str) or resume is None else as_json(resume)
    messages = messages_in(value)
    if messages is not None:
        return _last_words(messages, ("human", "user")) or _last_words(messages, ())
    return _text_under(value, _ASKING)


def words_out(value: object) -> str | None:
    """Return the answer's words, or ``None`` where nothing in the output is an answer's words."""
    if isinstance(value, str):
        return value
    if isinstance(value, Generation):
        return value.text
    waiting = value.get("__interrupt__") if isinstance(value, Mapping) else None
    if isinstance(waiting, (list, tuple)) and waiting:
        asked = [getattr(item, "value", item) for item in waiting]
        return "\n".join(item if isinstance(item, str) else as_json(item) for item in asked)
    messages = messages_in(value)
    if messages is not None:
        return _answer(value, messages)
    return _text_under(value, _ANSWERING)


def _answer(state: object, messages: Sequence[object]) -> str | None:
    words = _last_words(messages[-1:], _ANSWERER)
    if words:
        return words
    if isinstance(state, Mapping) and state.get("structured_response") is not None:
        return as_json(state["structured_response"])
    return _last_words(messages, _ANSWERER) or _last_words(messages, ())


def answer_words(state: object) -> str | None:
    """Return the words of the newest answer in a conversation, or ``None``: a question is none."""
    messages = messages_in(state)
    return None if messages is None else _last_words(messages, _ANSWERER)


def messages_in(value: Any) -> Sequence[object] | None:
    """Find the conversation: a message, a list of them, a prompt, or the state that holds one."""
    return _finder(value.__class__)(value)


@lru_cache(maxsize=1024)
def _finder(kind: type) -> Callable[[Any], Sequence[object] | None]:
    """Return what finds a conversation in objects of a class: asking Pydantic's classes what one is takes long."""
    if issubclass(kind, BaseMessage):
        return lambda message: [message]
    if issubclass(kind, PromptValue):
        return lambda prompt: prompt.to_messages()
    if issubclass(kind, (list, tuple)):
        return lambda items: items if items and _is_message(items[-1]) else None
    if issubclass(kind, Mapping):
        return _messages_of_mapping
    return lambda state: _filled_list(getattr(state, "messages", None))


def _messages_of_mapping(state: Mapping[str, Any]) -> Sequence[object] | None:
    found = _filled_list(state.get("messages"))
    if found is not None:
        return found
    for key in (*_ASKING, "chat_history"):
        inner = state.get(key)
        if isinstance(
            inner, (list, BaseMessage)
        ):  # whether others are empty may not be asked: an array raises
            found = _filled_list(inner)
            if found is not None and _is_message(found[-1]):
                return found
    return None


def _filled_list(value: object) -> Sequence[object] | None:
    if isinstance(value, (list, tuple)):
        return value or None
    return [value] if isinstance(value, BaseMessage) else None


def _is_message(value: object) -> bool:
    if isinstance(value, BaseMessage):
        return True
    if isinstance(value, Mapping):
        return "content" in value and ("role" in value or "type" in value)
    return isinstance(value, tuple) and len(value) == 2 and isinstance(value[0], str)


def _last_words(messages: Sequence[object], kinds: tuple[str, ...]) -> str | None:
    for message in reversed(messages):
        kind, content = _kind_and_content(message)
        if kinds and kind not in kinds:
            continue
        words: str | None = text_of(content)
        if not words and isinstance(message, AIMessage):
            words = _beside(message)
        if words:
            return words
    return None


def _kind_and_content(message: object) -> tuple[str, object]:
    if isinstance(message, BaseMessage):
        return message.type, message.content
    if isinstance(message, Mapping):
        return str(message.get("role") or message.get("type")), message.get("content")
    if isinstance(message, tuple) and len(message) == 2:
        return str(message[0]), message[1]
    return "human", message


def _beside(message: AIMessage) -> str | None:
    extra = message.additional_kwargs
    audio = extra.get("audio")
    spoken = audio.get("transcript") if isinstance(audio, Mapping) else None
    words = extra.get("refusal") or spoken
    return words if isinstance(words, str) else None


def text_of(content: object) -> str:
    """Return the text of a message's content, parts joined, or nothing."""
    if isinstance(content, str):
        return content
    if not isinstance(content, list | tuple):
        return ""
    texts = []
    for block in content:
        if isinstance(block, str):
            texts.append(block)
        elif isinstance(block, Mapping):
            kind = block.get("type")
            text = block.get("refusal") if kind == "refusal" else block.get("text")
            if isinstance(text, str) and kind not in ("reasoning", "thinking"):
                texts.append(text)
    return "".join(texts)


def _text_under(value: object, keys: tuple[str, ...]) -> str | None:
    if not isinstance(value, Mapping):
        return None
    for key in keys:
        found = value.get(key)
        if isinstance(found, str) and found:
            return found
    if len(value) == 1:
        only = next(iter(value.values()))
        return only if isinstance(only, str) and only else None
    return None


def as_json(value: object) -> str:
    """Write a value as JSON text, LangChain's own objects made small; never raises."""
    try:
        text = _encode(value)
    except Exception:  # noqa: BLE001  # foreign objects, cycles, odd keys: the kit deals with each
        return dumps(plain(value))
    return clean(text) if len(text) <= _LIMIT else dumps(plain(value))


def plain(value: Any, above: tuple[int, ...] = ()) -> Any:
    """Return a value with LangChain's own objects made small; the rest is left to the kit."""
    if id(value) in above or len(above) > _DEEPEST:
        return value
    inside = (*above, id(value))
    if isinstance(value, dict):
        return {key: plain(item, inside) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [plain(item, inside) for item in value]
    try:
        small = _small(value)
    except Exception:  # noqa: BLE001  # a foreign subclass
        return value
    return value if small is None else plain(small, inside)


def _small(value: Any) -> dict[str, Any] | None:
    make = _maker(value.__class__)
    return None if make is None else make(value)


@lru_cache(maxsize=1024)
def _maker(kind: type) -> Callable[[Any], dict[str, Any]] | None:
    """Return what makes objects of a class small, or ``None``: they are left to the kit."""
    if issubclass(kind, BaseMessage):
        is_result = issubclass(kind, ToolMessage)
        return (
            _small_answer if issubclass(kind, AIMessage) else _small_result if is_result else _small_message
        )
    if issubclass(kind, Document):
        return lambda found: {"page_content": found.page_content, "metadata": found.metadata}
    if issubclass(kind, PromptValue):
        return lambda prompt: {"messages": prompt.to_messages()}
    if issubclass(kind, BaseModel):
        return dict
    if kind.__name__ == "Send" and kind.__module__.startswith("langgraph."):
        return lambda send: {"node": send.node, "arg": send.arg}
    if dataclasses.is_dataclass(kind):
        # A graph's Command is mostly empty.
        return _filled_fields if kind.__name__ == "Command" else _fields
    return None


def _fields(value: Any) -> dict[str, Any]:
    return {field.name: getattr(value, field.name) for field in dataclasses.fields(value)}


def _filled_fields(value: Any) -> dict[str, Any]:
    return {key: item for key, item in _fields(value).items() if item}


def _small_message(message: BaseMessage) -> dict[str, Any]:
    found: dict[str, Any] = {"type": message.type, "content": message.content}
    if message.name:
        found["name"] = message.name
    return found


def _small_answer(message: AIMessage) -> dict[str, Any]:
    found = {**_small_message(message), "type": "ai"}  # also what a stream's chunks add up to
    if message.tool_calls:
        found["tool_calls"] = message.tool_calls
    return found


def _small_result(message: ToolMessage) -> dict[str, Any]:
    return {**_small_message(message), "tool_call_id": message.tool_call_id, "status": message.status}


def _encodable(value: object) -> Any:
    small = _small(value)
    if small is None:
        raise TypeError(type(value).__name__)
    return small


_encode: Final = json_encoder(_encodable)
_LIMIT: Final = 1_000_000
_DEEPEST: Final = 40
