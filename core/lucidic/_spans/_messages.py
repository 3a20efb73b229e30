"""Messages and documents, flattened (OpenInference ``spec/semantic_conventions.md``)."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, Final, TypeAlias

from openinference.semconv.trace import (
    AudioAttributes,
    DocumentAttributes,
    ImageAttributes,
    MessageAttributes,
    MessageContentAttributes,
    ToolCallAttributes,
    VideoAttributes,
)
from opentelemetry.util.types import AttributeValue

from lucidic._spans._facts import (
    Audio,
    ContentPart,
    Document,
    Image,
    Message,
    Reasoning,
    Text,
    ToolCall,
    Video,
)
from lucidic._spans._json import DEFAULT_LIMIT, NOT_JSON, clean, cut, dumps, json_object, parsed


Attributes: TypeAlias = "dict[str, AttributeValue]"

# A message's keys are made for every message of every call: the constant halves are joined once.
_ROLE: Final = "." + MessageAttributes.MESSAGE_ROLE
_CONTENT: Final = "." + MessageAttributes.MESSAGE_CONTENT
_CONTENTS: Final = "." + MessageAttributes.MESSAGE_CONTENTS + "."
_NAME: Final = "." + MessageAttributes.MESSAGE_NAME
_ANSWERS: Final = "." + MessageAttributes.MESSAGE_TOOL_CALL_ID
_CALLS: Final = "." + MessageAttributes.MESSAGE_TOOL_CALLS + "."
_PART_TYPE: Final = "." + MessageContentAttributes.MESSAGE_CONTENT_TYPE
_PART_TEXT: Final = "." + MessageContentAttributes.MESSAGE_CONTENT_TEXT
_PART_ID: Final = "." + MessageContentAttributes.MESSAGE_CONTENT_ID
_PART_SIGNATURE: Final = "." + MessageContentAttributes.MESSAGE_CONTENT_SIGNATURE
_PART_DATA: Final = "." + MessageContentAttributes.MESSAGE_CONTENT_DATA
_PART_ENCRYPTED: Final = "." + MessageContentAttributes.MESSAGE_CONTENT_ENCRYPTED_CONTENT
_PART_IMAGE: Final = f".{MessageContentAttributes.MESSAGE_CONTENT_IMAGE}.{ImageAttributes.IMAGE_URL}"
_PART_VIDEO: Final = f".{MessageContentAttributes.MESSAGE_CONTENT_VIDEO}.{VideoAttributes.VIDEO_URL}"
_PART_AUDIO: Final = f".{MessageContentAttributes.MESSAGE_CONTENT_AUDIO}."
_PART_DOCUMENT: Final = f".{MessageContentAttributes.MESSAGE_CONTENT_DOCUMENT}"
_CALL_ID: Final = "." + ToolCallAttributes.TOOL_CALL_ID
_CALL_NAME: Final = "." + ToolCallAttributes.TOOL_CALL_FUNCTION_NAME
_CALL_ARGUMENTS: Final = "." + ToolCallAttributes.TOOL_CALL_FUNCTION_ARGUMENTS_JSON
_CALL_SIGNATURE: Final = "." + ToolCallAttributes.TOOL_CALL_REASONING_SIGNATURE
_INT64: Final = 2**63  # OTLP carries no larger integer


def message_attributes(prefix: str, messages: Iterable[Message], *, start: int = 0) -> Attributes:
    """Flatten messages under ``llm.input_messages`` or ``llm.output_messages``, numbered from ``start``."""
    found: Attributes = {}
    for position, message in enumerate(messages, start):
        key = f"{prefix}.{position}"
        found[key + _ROLE] = as_text(message.role)
        if message.content:
            _put_content(found, key, message.content)
        for number, call in enumerate(message.tool_calls):
            _put_call(found, f"{key}{_CALLS}{number}", call)
        if message.tool_call_id:
            found[key + _ANSWERS] = as_text(message.tool_call_id)
        if message.name:
            found[key + _NAME] = as_text(message.name)
    return found


def put(found: Attributes, key: str, value: object) -> None:
    if type(value) is str:
        if value:
            found[key] = as_text(value)
        return
    if value is None:
        return
    found[key] = value if type(value) is int and abs(value) < _INT64 else as_text(value)


def put_texts(found: Attributes, prefix: str, suffix: str, texts: Iterable[str]) -> None:
    for position, text in enumerate(texts):
        found[f"{prefix}.{position}.{suffix}"] = as_text(text)


def _put_content(found: Attributes, key: str, content: str | Sequence[ContentPart]) -> None:
    if isinstance(content, str):
        found[key + _CONTENT] = as_text(content)
        return
    if len(content) == 1 and isinstance(content[0], Text):
        # More readers know message.content than message.contents.
        found[key + _CONTENT] = as_text(content[0].text)
        return
    position = 0
    for part in content:
        kind, payload, write = _PARTS.get(type(part), _UNKNOWN)
        # A part without its payload (reasoning of which only the id is known) would be an error to readers.
        if any(getattr(part, name) for name in payload):
            place = f"{key}{_CONTENTS}{position}"
            found[place + _PART_TYPE] = kind
            write(found, place, part)
            position += 1


def _put_text(found: Attributes, key: str, part: Text) -> None:
    found[key + _PART_TEXT] = as_text(part.text)


def _put_unknown(found: Attributes, key: str, part: object) -> None:
    found[key + _PART_TEXT] = as_text(part)


def _put_image(found: Attributes, key: str, part: Image) -> None:
    found[key + _PART_IMAGE] = _as_url(part.url)


def _put_video(found: Attributes, key: str, part: Video) -> None:
    found[key + _PART_VIDEO] = _as_url(part.url)


def _put_audio(found: Attributes, key: str, part: Audio) -> None:
    key += _PART_AUDIO
    if part.url:
        found[key + AudioAttributes.AUDIO_URL] = _as_url(part.url)
    put(found, key + AudioAttributes.AUDIO_MIME_TYPE, part.mime_type)
    put(found, key + AudioAttributes.AUDIO_TRANSCRIPT, part.transcript)


def _put_document_part(found: Attributes, key: str, part: Document) -> None:
    put_document(found, key + _PART_DOCUMENT, part)


def _put_reasoning(found: Attributes, key: str, part: Reasoning) -> None:
    put(found, key + _PART_TEXT, part.text)
    put(found, key + _PART_ID, part.id)
    put(found, key + _PART_SIGNATURE, part.signature)
    put(found, key + _PART_ENCRYPTED, part.encrypted_content)
    put(found, key + _PART_DATA, part.data)


def _put_call(found: Attributes, key: str, call: ToolCall) -> None:
    put(found, key + _CALL_ID, call.id)
    found[key + _CALL_NAME] = as_text(call.name)
    found[key + _CALL_ARGUMENTS] = _arguments(call.arguments)
    put(found, key + _CALL_SIGNATURE, call.reasoning_signature)


_PARTS: Final[Mapping[type, tuple[str, tuple[str, ...], Callable[[Attributes, str, Any], None]]]] = {
    Text: ("text", ("text",), _put_text),
    Image: ("image", ("url",), _put_image),
    Audio: ("audio", ("url", "transcript"), _put_audio),
    Video: ("video", ("url",), _put_video),
    Document: ("document", ("url", "content", "id", "name"), _put_document_part),
    Reasoning: ("reasoning", ("text", "data", "encrypted_content", "signature"), _put_reasoning),
    ToolCall: ("tool_use", ("name",), _put_call),
}
"""Of each kind of part: its name, the fields of which one must be there, and what writes it."""
_UNKNOWN: Final = ("text", ("__class__",), _put_unknown)


def put_documents(found: Attributes, prefix: str, documents: Iterable[Document]) -> None:
    for position, document in enumerate(documents):
        put_document(found, f"{prefix}.{position}", document)


def put_document(found: Attributes, prefix: str, document: Document) -> None:
    key = prefix + "."
    put(found, key + DocumentAttributes.DOCUMENT_ID, document.id)
    put(found, key + DocumentAttributes.DOCUMENT_CONTENT, document.content)
    if (score := _as_score(document.score)) is not None:
        found[key + DocumentAttributes.DOCUMENT_SCORE] = score
    if document.metadata:
        found[key + DocumentAttributes.DOCUMENT_METADATA] = json_object(document.metadata)
    if document.url:
        found[key + DocumentAttributes.DOCUMENT_URL] = _as_url(document.url)
    put(found, key + DocumentAttributes.DOCUMENT_MIME_TYPE, document.mime_type)
    put(found, key + DocumentAttributes.DOCUMENT_NAME, document.name)


def as_text(value: object) -> str:
    # Most text is short and ASCII, and a long history has hundreds of such values.
    if type(value) is str and len(value) <= DEFAULT_LIMIT and value.isascii():
        return value
    return cut(value) if isinstance(value, str) else dumps(value)


def _as_url(url: object) -> str:
    """Return a URL uncut: half a data URI is no image; masking decides about long ones."""
    return clean(url) if isinstance(url, str) else dumps(url)


def _arguments(arguments: object) -> str:
    """Return arguments as JSON; what a model wrote stays as it is, unless it is no JSON: then as a string."""
    if arguments is None or arguments == "":
        return "{}"
    if not isinstance(arguments, str):
        return dumps(arguments)
    return clean(arguments) if parsed(arguments) is not NOT_JSON else dumps(arguments)


def as_count(value: object) -> int | None:
    if type(value) is int:  # as they are, but for some
        return value if 0 <= value < _INT64 else None
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        return None
    return int(value) if 0 <= value < _INT64 else None


def _as_score(value: Any) -> float | None:
    try:
        score = float(value)
    except (TypeError, ValueError, OverflowError):
        return None
    return score if math.isfinite(score) else None
