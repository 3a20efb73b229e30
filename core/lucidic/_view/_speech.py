"""Find the words of the user and of the answer in what a span recorded."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any, Final

from openinference.semconv.trace import SpanAttributes as Key

from lucidic._records import StoredSpan
from lucidic._view._content import kind, messages, parsed, text_of


_USER: Final = {"user", "human"}
_ASSISTANT: Final = {"assistant", "ai", "model"}
_INPUT_KEYS: Final = ("messages", "input", "question", "query", "prompt", "content", "text")
_OUTPUT_KEYS: Final = ("messages", "output", "answer", "result", "content", "text")


def user_words(span: StoredSpan) -> str:
    """Return what the user said, also where a foreign instrumentation recorded its whole state as JSON."""
    said = _spoken(text_of(span.attributes.get(Key.INPUT_VALUE)), _INPUT_KEYS, _USER)
    if said or kind(span) != "LLM":
        return said
    return _last(messages(span, Key.LLM_INPUT_MESSAGES), _USER)


def answer_words(span: StoredSpan) -> str:
    """Return what was answered, also where a foreign instrumentation recorded its whole state as JSON."""
    said = _spoken(text_of(span.attributes.get(Key.OUTPUT_VALUE)), _OUTPUT_KEYS, _ASSISTANT)
    if said or kind(span) != "LLM":
        return said
    return _last(messages(span, Key.LLM_OUTPUT_MESSAGES), {"", *_ASSISTANT})


def model_words(span: StoredSpan) -> str:
    """Return the text that a model call produced."""
    return _last(messages(span, Key.LLM_OUTPUT_MESSAGES), {"", *_ASSISTANT}) or answer_words(span)


def asked(span: StoredSpan) -> str:
    """Return the user's last message to a model call."""
    return _last(messages(span, Key.LLM_INPUT_MESSAGES), _USER) or user_words(span)


def _last(said: Sequence[Any], roles: Iterable[str]) -> str:
    return next((message.text for message in reversed(said) if message.role in roles and message.text), "")


def _spoken(value: str, keys: Sequence[str], roles: Iterable[str]) -> str:
    if not value.lstrip().startswith(("{", "[")):
        return value
    try:
        return _dig(parsed(value), keys, roles) or value
    except RecursionError:
        return value


def _dig(state: object, keys: Sequence[str], roles: Iterable[str]) -> str:
    """Follow the usual keys of a state down to a text; an empty text when there is none."""
    if isinstance(state, str):
        return state
    if isinstance(state, dict):
        inner = state.get("kwargs")
        state = inner if isinstance(inner, dict) and "content" in inner else state
        return next((found for key in keys if key in state and (found := _dig(state[key], keys, roles))), "")
    if isinstance(state, list):
        spoken = [message for message in state if _role(message) in roles]
        if spoken:
            return _dig(_content(spoken[-1]), keys, roles)
        texts = [
            part["text"] for part in state if isinstance(part, dict) and isinstance(part.get("text"), str)
        ]
        return "\n".join(texts)
    return ""


def _role(message: object) -> str:
    if isinstance(message, dict):
        inner = message.get("kwargs", message)
        return text_of(inner.get("role") or inner.get("type")) if isinstance(inner, dict) else ""
    pair = isinstance(message, list) and len(message) == 2
    return text_of(message[0]) if pair and isinstance(message, list) else ""


def _content(message: Any) -> object:
    return message[1] if isinstance(message, list) else message
