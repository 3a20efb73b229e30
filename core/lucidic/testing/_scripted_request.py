"""What the scripted server was asked."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, Final


_TEXT_FIELDS: Final = ("instructions", "system", "messages", "input")
_NO_TEXT: Final = frozenset(
    {"id", "role", "type", "status", "call_id", "tool_call_id", "tool_use_id", "url", "data", "file_data"}
)


@dataclass(frozen=True, kw_only=True, slots=True)
class ScriptedRequest:
    """One request that the server received, and what a script asks of it, whatever the API."""

    path: str
    """The path with its query, for example ``/v1/chat/completions``."""
    headers: Mapping[str, str] = field(repr=False)
    """Names in lower case. Left out of the repr, because a key may be among them."""
    body: Mapping[str, Any]
    """The parsed JSON body."""

    @property
    def route(self) -> str:
        """The path without its query."""
        return self.path.partition("?")[0]

    @property
    def model(self) -> str:
        """The model that was asked for."""
        return str(self.body.get("model", "scripted"))

    @property
    def stream(self) -> bool:
        """Whether the answer is to be streamed."""
        return bool(self.body.get("stream"))

    @property
    def user_texts(self) -> tuple[str, ...]:
        """The words of the user, one text for each message, oldest first."""
        return tuple(text for kind, text in self._turns() if kind == "user")

    @property
    def user_text(self) -> str:
        """The user's last words, or nothing."""
        return next(reversed(self.user_texts), "")

    @property
    def tool_results(self) -> tuple[str, ...]:
        """The tool results since the user's last words, oldest first."""
        results: list[str] = []
        for kind, text in self._turns():
            if kind == "user":
                results.clear()
            else:
                results.append(text)
        return tuple(results)

    @property
    def prompt_tokens(self) -> int:
        """The tokens of the input, counted from the lengths of its texts."""
        return sum(count_tokens(text) for key in _TEXT_FIELDS for text in _texts(self.body.get(key)))

    def _turns(self) -> Iterator[tuple[str, str]]:
        """Yield ``("user", words)`` and ``("tool", result)`` in the order of the conversation."""
        messages = self.body.get("messages", self.body.get("input", ()))
        if isinstance(messages, str):
            yield "user", messages
            return
        for message in messages:
            if not isinstance(message, Mapping):
                continue
            if message.get("type") == "function_call_output":
                yield "tool", _joined(message.get("output"))
            elif message.get("role") == "tool":
                yield "tool", _joined(message.get("content"))
            elif message.get("role") == "user":
                yield from _user_turns(message.get("content"))


def _user_turns(content: object) -> Iterator[tuple[str, str]]:
    """Yield what a user message holds; in Anthropic's API that may be tool results."""
    parts = content if isinstance(content, list) else [content]
    results = [part for part in parts if isinstance(part, Mapping) and part.get("type") == "tool_result"]
    for result in results:
        yield "tool", _joined(result.get("content"))
    words = _joined([part for part in parts if part not in results])
    if words:
        yield "user", words


def _joined(content: object) -> str:
    return "".join(_texts(content))


def _texts(value: object) -> Iterator[str]:
    """Yield every text in a piece of a request that a model would read."""
    if isinstance(value, str):
        yield value
    elif isinstance(value, Mapping):
        for key, inner in value.items():
            if key not in _NO_TEXT:
                yield from _texts(inner)
    elif isinstance(value, list | tuple):
        for inner in value:
            yield from _texts(inner)


def count_tokens(text: str) -> int:
    """Return a token count that depends on the text alone: one for every four characters begun."""
    return -(-len(text) // 4)
