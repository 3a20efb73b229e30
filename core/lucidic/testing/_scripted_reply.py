"""What a script says: replies, the tool calls in them, and what they cost."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Protocol

from lucidic.testing._scripted_request import ScriptedRequest, count_tokens


class Gate(Protocol):
    """What holds an answer back until a test lets it go; ``threading.Event`` is one."""

    def wait(self, timeout: float | None = None, /) -> bool:
        """Wait at most ``timeout`` seconds and say whether the gate is open."""


@dataclass(frozen=True, slots=True)
class ToolCall:
    """One tool call of a reply.

    ``arguments`` is a mapping, or the JSON text itself where a test needs text that is no JSON.
    Without ``id`` the server makes one that is the same in every run.
    """

    name: str
    arguments: Mapping[str, Any] | str = field(default_factory=dict)
    id: str | None = field(default=None, kw_only=True)

    @property
    def arguments_json(self) -> str:
        """The arguments as JSON text."""
        if isinstance(self.arguments, str):
            return self.arguments
        return json.dumps(dict(self.arguments), ensure_ascii=False, separators=(",", ":"))


@dataclass(frozen=True, kw_only=True, slots=True)
class Usage:
    """Token counts, in OpenAI's sense: ``prompt`` includes ``cached``, ``completion`` includes ``reasoning``."""

    prompt: int = 0
    completion: int = 0
    cached: int = 0
    reasoning: int = 0

    @property
    def total(self) -> int:
        """The tokens of both directions."""
        return self.prompt + self.completion


@dataclass(frozen=True, kw_only=True, slots=True)
class Reply:
    """One answer of the scripted server; the same reply works for every API.

    Args:
        text: the answer's words.
        tool_calls: the tools to call, all in one answer.
        reasoning: the thinking that precedes the answer: ``reasoning_content`` in chat completions
            (as OpenAI-compatible servers send it), a summary in responses, a thinking block in messages.
        usage: token counts. Default: counted from the lengths of the texts, four characters a token.
        finish_reason: in the words of chat completions (``stop``, ``length``, ``tool_calls``,
            ``content_filter``), translated for the other APIs. Default: what fits the reply.
        model: the model that answers. Default: the model that the request names.
        refusal: the words of a refusal, instead of ``text``.
        status: the HTTP status; 400 and above answers with an error body of the provider's format.
        headers: response headers; they replace the server's own of the same name.
        error: the error's message, or a mapping to merge into the provider's error object.
        stream_abort_after: break a streamed answer off after this many events, without its end.
        gate: hold the answer until this is set.

    Raises:
        ValueError: if ``error`` is given with a status below 400.
    """

    text: str | None = None
    tool_calls: tuple[ToolCall, ...] = ()
    reasoning: str | None = None
    usage: Usage | None = None
    finish_reason: str | None = None
    model: str | None = None
    refusal: str | None = None
    status: int = 200
    headers: Mapping[str, str] = field(default_factory=dict)
    error: str | Mapping[str, Any] | None = None
    stream_abort_after: int | None = None
    gate: Gate | None = None

    def __post_init__(self) -> None:
        if self.error is not None and not self.is_error:
            raise ValueError(f"An error reply needs a status of 400 or above, and {self.status} is none.")

    @property
    def is_error(self) -> bool:
        """Whether the answer is an HTTP error."""
        return self.status >= 400


@dataclass(frozen=True, kw_only=True, slots=True)
class Answer:
    """A reply on its way to one request, with everything decided that the wire formats need."""

    request: ScriptedRequest
    reply: Reply
    ident: str
    """Hex digits that all ids of this answer are made of."""

    @property
    def model(self) -> str:
        return self.reply.model or self.request.model

    @property
    def usage(self) -> Usage:
        return self.reply.usage or self._counted()

    @property
    def finish_reason(self) -> str:
        return self.reply.finish_reason or ("tool_calls" if self.reply.tool_calls else "stop")

    def calls(self, prefix: str) -> list[tuple[str, ToolCall]]:
        """Return the tool calls with their ids; an id of our own is ``prefix``, the answer and the position."""
        return [
            (call.id or f"{prefix}_{self.ident}{number}", call)
            for number, call in enumerate(self.reply.tool_calls)
        ]

    def _counted(self) -> Usage:
        reply = self.reply
        reasoning = count_tokens(reply.reasoning or "")
        completion = reasoning + count_tokens(reply.text or "") + count_tokens(reply.refusal or "")
        completion += sum(count_tokens(call.name + call.arguments_json) for call in reply.tool_calls)
        return Usage(prompt=self.request.prompt_tokens, completion=completion, reasoning=reasoning)
