"""Read what a span says in OpenInference attributes, with the GenAI conventions as the second choice."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Final

from openinference.semconv.trace import SpanAttributes as Key

from lucidic._records import JSONValue, StoredSpan


_GENAI_KINDS: Final = {
    "chat": "LLM",
    "text_completion": "LLM",
    "generate_content": "LLM",
    "embeddings": "EMBEDDING",
    "execute_tool": "TOOL",
    "invoke_agent": "AGENT",
    "create_agent": "AGENT",
}
_CACHE_READ: Final = "llm.token_count.prompt_details.cache_read"


@dataclass(frozen=True, slots=True)
class ToolCall:
    """One call that a model asked for."""

    name: str
    arguments: str
    id: str = ""


@dataclass(frozen=True, slots=True)
class Message:
    """One message of a model's input or output."""

    role: str
    text: str
    tool_calls: tuple[ToolCall, ...] = ()
    tool_call_id: str = ""
    images: tuple[str, ...] = ()
    """Addresses of images, data URIs included."""
    reasoning: str = ""


@dataclass(frozen=True, slots=True)
class Tokens:
    """Counted tokens; ``cached`` is part of ``prompt`` and ``reasoning`` part of ``completion``."""

    prompt: int = 0
    completion: int = 0
    total: int = 0
    cached: int = 0
    reasoning: int = 0

    def __add__(self, other: Tokens) -> Tokens:
        return Tokens(
            self.prompt + other.prompt,
            self.completion + other.completion,
            self.total + other.total,
            self.cached + other.cached,
            self.reasoning + other.reasoning,
        )


@dataclass(frozen=True, slots=True)
class Failure:
    """Why a span failed."""

    type: str
    message: str
    stacktrace: str = ""

    @property
    def headline(self) -> str:
        """Return ``ValueError: message``, without naming the type twice."""
        short = self.type.rpartition(".")[2]
        if not short or self.message.startswith((short, self.type)):
            return self.message or short or "failed"
        return f"{short}: {self.message}" if self.message else short


def text_of(value: JSONValue | None) -> str:
    """Return a value as text: text as it is, everything else as JSON."""
    if value is None:
        return ""
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)


def parsed(text: str) -> Any:
    """Return what a text holds as JSON; None if it holds none, or none that could be walked."""
    try:
        return json.loads(text)
    except (ValueError, RecursionError):
        return None


def first(attributes: Mapping[str, JSONValue], *keys: str) -> str:
    """Return the first of the attributes that holds something, as text."""
    return next((text for key in keys if (text := text_of(attributes.get(key)))), "")


def kind(span: StoredSpan) -> str:
    """Return OpenInference's kind in capitals, or an empty text for a span that has none."""
    own = text_of(span.attributes.get(Key.OPENINFERENCE_SPAN_KIND)).upper()
    return own or _GENAI_KINDS.get(text_of(span.attributes.get("gen_ai.operation.name")), "")


def model(span: StoredSpan) -> str:
    """Return the model's name, or an empty text."""
    return first(
        span.attributes,
        Key.LLM_MODEL_NAME,
        Key.EMBEDDING_MODEL_NAME,
        "reranker.model_name",
        "gen_ai.response.model",
        "gen_ai.request.model",
    )


def agent(span: StoredSpan) -> str:
    """Return the agent's name, or the span's."""
    return first(span.attributes, Key.AGENT_NAME, "gen_ai.agent.name") or span.name


def tool(span: StoredSpan) -> str:
    """Return the tool's name, or the span's."""
    return first(span.attributes, Key.TOOL_NAME, "gen_ai.tool.name") or span.name


def tokens(span: StoredSpan) -> Tokens:
    """Return the tokens of a model call; other kinds only repeat their children's and count nothing."""
    if kind(span) not in {"LLM", "EMBEDDING"}:
        return Tokens()
    prompt = _number(span, Key.LLM_TOKEN_COUNT_PROMPT, "gen_ai.usage.input_tokens")
    completion = _number(span, Key.LLM_TOKEN_COUNT_COMPLETION, "gen_ai.usage.output_tokens")
    return Tokens(
        prompt,
        completion,
        _number(span, Key.LLM_TOKEN_COUNT_TOTAL) or prompt + completion,
        _number(span, _CACHE_READ, "gen_ai.usage.cache_read.input_tokens"),
        _number(span, Key.LLM_TOKEN_COUNT_COMPLETION_DETAILS_REASONING),
    )


def failure(span: StoredSpan) -> Failure | None:
    """Return why the span failed, from its last ``exception`` event or else its status; None if it did not."""
    if span.status != "ERROR":
        return None
    for event in reversed(span.events):
        if event.name == "exception":
            said = event.attributes
            return Failure(
                text_of(said.get("exception.type")),
                text_of(said.get("exception.message")) or span.status_message,
                text_of(said.get("exception.stacktrace")),
            )
    return Failure(text_of(span.attributes.get("error.type")), span.status_message)


def documents(span: StoredSpan) -> list[dict[str, Any]]:
    """Return a retriever's documents: ``id``, ``content``, ``score``, ``metadata`` where they were given."""
    return [_below(item, "document") for item in _items(span, Key.RETRIEVAL_DOCUMENTS)]


def messages(span: StoredSpan, prefix: str) -> list[Message]:
    """Return the messages under ``llm.input_messages`` or ``llm.output_messages``."""
    return [_message(_below(item, "message")) for item in _items(span, prefix)]


def _message(given: dict[str, Any]) -> Message:
    calls = [_below(entry, "tool_call") for entry in _rows(given.get("tool_calls"))]
    parts = [_below(entry, "message_content") for entry in _rows(given.get("contents"))]
    thoughts = [part for part in parts if part.get("type") == "reasoning"]
    said = [_part(part) for part in parts if part.get("type") != "reasoning"]
    text = text_of(given.get("content")) or "\n".join(filter(None, said))
    return Message(
        text_of(given.get("role")),
        text,
        tuple(
            ToolCall(
                text_of(_below(call, "function").get("name")),
                text_of(_below(call, "function").get("arguments")),
                text_of(call.get("id")),
            )
            for call in calls
        ),
        text_of(given.get("tool_call_id")),
        tuple(url for part in parts if (url := text_of(_below(_below(part, "image"), "image").get("url")))),
        "\n".join(filter(None, (text_of(part.get("text")) for part in thoughts))),
    )


def _part(part: dict[str, Any]) -> str:
    """Return one content part as text; what is no text is named."""
    sort = text_of(part.get("type")) or "text"
    text = text_of(part.get("text"))
    if sort == "text":
        return text
    return f"[{sort}] {text}".rstrip()


def _number(span: StoredSpan, *keys: str) -> int:
    for key in keys:
        value = span.attributes.get(key)
        if isinstance(value, (int, float)) and not isinstance(value, bool):
            return int(value)
    return 0


def _items(span: StoredSpan, prefix: str) -> list[dict[str, Any]]:
    """Turn the flattened list under ``prefix`` back into nested dictionaries, in the order of its indices."""
    nested: dict[str, Any] = {}
    start = prefix + "."
    for key, value in span.attributes.items():
        if key.startswith(start):
            *path, last = key[len(start) :].split(".")
            place = nested
            for step in path:
                below = place.setdefault(step, {})
                if not isinstance(below, dict):
                    break
                place = below
            else:
                place[last] = value
    return list(_rows(nested))


def _below(item: dict[str, Any], key: str) -> dict[str, Any]:
    """Return what is nested under ``key``; nothing where a foreign span has a plain value instead."""
    below = item.get(key)
    return below if isinstance(below, dict) else {}


def _rows(nested: object) -> Iterator[dict[str, Any]]:
    if isinstance(nested, dict):
        indices = sorted((key for key in nested if key.isdecimal()), key=int)
        yield from (nested[index] for index in indices if isinstance(nested[index], dict))
