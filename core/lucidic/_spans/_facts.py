"""What an adapter knows of a model call, in no framework's words.

Plain slotted classes: they are made in callbacks, so making one must cost little (a frozen dataclass takes two
to three times as long). Treat them as values all the same.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, TypeAlias


@dataclass(slots=True)
class Text:
    """Text of a message."""

    text: str


@dataclass(slots=True)
class Image:
    """An image, by URL or data URI."""

    url: str


@dataclass(slots=True)
class Audio:
    """Sound, by URL or data URI, or what was heard in it."""

    url: str | None = None
    mime_type: str | None = None
    transcript: str | None = None


@dataclass(slots=True)
class Video:
    """A film, by URL or data URI."""

    url: str


@dataclass(slots=True)
class Document:
    """A document: part of a message, or found by a retriever or reranker."""

    content: str | None = None
    id: str | int | None = None
    score: float | None = None
    metadata: Mapping[str, Any] | None = None
    url: str | None = None
    mime_type: str | None = None
    name: str | None = None


@dataclass(slots=True)
class Reasoning:
    """What a model thought; ``data`` is a provider's redacted block, for replay only."""

    text: str | None = None
    id: str | None = None
    signature: str | None = None
    encrypted_content: str | None = None
    data: str | None = None


@dataclass(slots=True)
class ToolCall:
    """A call that the model asks for: in ``Message.tool_calls``, or among the parts where order matters."""

    id: str | None
    name: str
    arguments: str | Mapping[str, Any] | None = None
    """JSON text as the model wrote it, or the parsed arguments."""
    reasoning_signature: str | None = None


ContentPart: TypeAlias = "Text | Image | Audio | Video | Document | Reasoning | ToolCall"


@dataclass(slots=True)
class Message:
    """One message to or from a model."""

    role: str
    content: str | Sequence[ContentPart] | None = None
    tool_calls: Sequence[ToolCall] = ()
    tool_call_id: str | None = None
    """Of a tool's answer: which call it answers."""
    name: str | None = None


@dataclass(slots=True)
class ToolSchema:
    """A tool offered to the model; ``json_schema`` is the schema of its parameters."""

    name: str
    description: str | None = None
    json_schema: Mapping[str, Any] | None = None


@dataclass(slots=True)
class Usage:
    """Tokens of one call.

    ``prompt`` counts everything the model read, cached or not; ``completion`` everything it wrote, reasoning
    included. Adapters add up the parts of providers that report them apart.
    """

    prompt: int | None = None
    completion: int | None = None
    total: int | None = None
    cache_read: int | None = None
    cache_write: int | None = None
    reasoning: int | None = None
    audio_in: int | None = None
    audio_out: int | None = None
