"""PydanticAI's message objects as the kit's facts."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any, Final

from pydantic_ai.messages import ModelMessage, ModelRequest, ModelResponse

from lucidic.adapterkit import (
    Audio,
    ContentPart,
    Document,
    Image,
    Message,
    Reasoning,
    Text,
    ToolCall,
    Video,
    dumps,
)


_SYSTEM_KINDS: Final = frozenset(
    (
        "system-prompt",
        "instruction-delta",
        "tool-availability-delta",
        "capability-load-delta",
        "model-settings-delta",
    )
)
_UNSENT_KINDS: Final = frozenset(("instruction-baseline", "instruction-digest"))
"""Bookkeeping of the history, which no model sees."""


def facts_of(message: ModelMessage, *, binary: bool) -> list[Message]:
    """Return one message of PydanticAI's as the messages that a model reads: results of tools are one each."""
    if isinstance(message, ModelRequest):
        return list(_request_messages(message, binary=binary))
    return response_messages(message, binary=binary)


def instructions_of(messages: Sequence[ModelMessage], parameters: Any) -> str | None:
    """Return the instructions in force: of the request, else of the last message that has any."""
    parts = getattr(parameters, "instruction_parts", None)
    if parts:
        return "\n\n".join(text for part in parts if (text := getattr(part, "content", None)))
    requests = [message for message in messages[-4:] if isinstance(message, ModelRequest)]
    for request in reversed(requests):
        if request.instructions is not None:
            return request.instructions
        if not all(
            part.part_kind in ("tool-return", "retry-prompt", "retry-feedback") for part in request.parts
        ):
            return None
    return None


def _request_messages(request: ModelRequest, *, binary: bool) -> Iterator[Message]:
    part: Any  # each kind has fields of its own
    for part in request.parts:
        kind: str = part.part_kind
        if kind == "user-prompt":
            content = content_parts(part.content, binary=binary)
            if content:
                yield Message("user", content)
        elif kind == "tool-return":
            yield _tool_message(part, binary=binary)
        elif kind == "speech":
            yield Message("user", [_speech(part, binary=binary)])
        elif kind == "retry-prompt":
            name = getattr(part, "tool_name", None)
            text = _response_text(part)
            if name is None:
                yield Message("user", text)
            else:
                yield Message("tool", text, tool_call_id=part.tool_call_id, name=name)
        elif kind in _SYSTEM_KINDS:
            yield Message("system", _text_of(part))
        elif kind not in _UNSENT_KINDS:
            yield Message("user", _response_text(part))


def _tool_message(part: Any, *, binary: bool) -> Message:
    text = _response_text(part)
    content: str | list[ContentPart] = text
    files = [item for item in getattr(part, "files", None) or () if not isinstance(item, str)]
    if files:
        texts: list[ContentPart] = [Text(text)] if text else []
        content = [*texts, *content_parts(files, binary=binary)]
    return Message("tool", content, tool_call_id=part.tool_call_id, name=part.tool_name)


def _response_text(part: Any) -> str:
    """Return what the model reads of a tool's answer or a retry."""
    for name in ("model_response_str", "model_response"):
        if (render := getattr(part, name, None)) is not None:
            try:
                return str(render())
            except Exception:  # noqa: BLE001  # a tool's own object that has no JSON form
                break
    return _text_of(part)


def _text_of(part: Any) -> str:
    content = getattr(part, "content", None)
    return content if isinstance(content, str) else dumps(content if content is not None else part)


def content_parts(content: Any, *, binary: bool = True) -> list[ContentPart]:
    """Return the parts of a user's words: text, images, sound, films and documents, in order."""
    items: Iterable[Any] = (
        [content] if isinstance(content, str) or not isinstance(content, Sequence) else content
    )
    found = (_content_part(item, binary=binary) for item in items)
    return [part for part in found if part is not None]


def _content_part(item: Any, *, binary: bool) -> ContentPart | None:
    if isinstance(item, str):
        return Text(item)
    kind = getattr(item, "kind", None)
    if kind in ("text", "text-content"):
        return Text(str(item.content))
    if kind == "cache-point":
        return None
    if kind == "uploaded-file":
        return Document(id=str(getattr(item, "file_id", "")), mime_type=_media_type(item))
    if getattr(item, "data", None) is not None and kind == "binary":
        return _media(_media_type(item), _data_uri(item) if binary else None)
    if (url := getattr(item, "url", None)) is not None:
        return _linked(kind, url, item)
    text = getattr(item, "content", None)
    return Text(text if isinstance(text, str) else dumps(item))


def _linked(kind: Any, url: str, item: Any) -> ContentPart:
    if kind == "image-url":
        return Image(url)
    if kind == "audio-url":
        return Audio(url, mime_type=_media_type(item))
    if kind == "video-url":
        return Video(url)
    return Document(url=url, mime_type=_media_type(item))


def _media(media_type: str | None, url: str | None) -> ContentPart:
    family = (media_type or "").partition("/")[0]
    if url is None:
        return Text(f"[{media_type or 'binary content'}]")
    if family == "image":
        return Image(url)
    if family == "audio":
        return Audio(url, mime_type=media_type)
    if family == "video":
        return Video(url)
    return Document(url=url, mime_type=media_type)


def _media_type(item: Any) -> str | None:
    try:
        value = item.media_type
    except Exception:  # noqa: BLE001  # the SDK raises where a URL has no known extension
        return None
    return value if isinstance(value, str) else None


def _data_uri(item: Any) -> str:
    return f"data:{_media_type(item) or 'application/octet-stream'};base64,{item.base64}"


def response_messages(response: ModelResponse, *, binary: bool = True) -> list[Message]:
    """Return what a model answered, in order.

    Calls stand in ``tool_calls``, which most readers know; among the parts only where something was
    said after them. What a provider's own tool gave is a tool's message, in its place.
    """
    found: list[Message] = []
    parts: list[ContentPart] = []
    part: Any  # each kind has fields of its own
    for part in response.parts:
        kind: str = part.part_kind
        if kind in ("tool-call", "builtin-tool-call"):
            parts.append(ToolCall(id=part.tool_call_id, name=part.tool_name, arguments=part.args))
        elif kind == "builtin-tool-return":
            found += _assistant(parts)
            parts = []
            found.append(_tool_message(part, binary=binary))
        elif kind == "thinking":
            parts.append(_reasoning(part))
        elif kind == "file":
            parts.extend(content_parts([part.content], binary=binary))
        elif kind == "speech":
            parts.append(_speech(part, binary=binary))
        elif content := getattr(part, "content", None):
            parts.append(Text(content if isinstance(content, str) else dumps(content)))
    refusal = refusal_of(response)
    if refusal and not any(isinstance(said, Text) and said.text.strip() for said in parts):
        parts.append(Text(refusal))
    return found + (_assistant(parts) or ([] if found else [Message("assistant")]))


def _speech(part: Any, *, binary: bool) -> ContentPart:
    """Return what was spoken in a realtime session: its sound where that was kept, else what was heard."""
    if part.audio is None or not binary:
        return Text(part.transcript or "")
    return Audio(_data_uri(part.audio), mime_type=_media_type(part.audio), transcript=part.transcript)


def _assistant(parts: Sequence[ContentPart]) -> list[Message]:
    if not parts:
        return []
    said = [part for part in parts if not isinstance(part, ToolCall)]
    calls = [part for part in parts if isinstance(part, ToolCall)]
    if calls and list(parts[: len(said)]) != said:
        return [Message("assistant", list(parts))]
    return [Message("assistant", said, tool_calls=calls)]


def _reasoning(part: Any) -> Reasoning:
    details = part.provider_details or {} if hasattr(part, "provider_details") else {}
    text = part.content
    if not text and isinstance(raw := details.get("raw_content"), list):
        text = "\n".join(str(item) for item in raw)
    if part.id == "redacted_thinking":
        return Reasoning(data=part.signature)
    encrypted = part.provider_name in ("openai", "azure", "xai") and part.signature is not None
    return Reasoning(
        text=text or None,
        id=part.id,
        signature=None if encrypted else part.signature,
        encrypted_content=part.signature if encrypted else None,
    )


def refusal_of(response: ModelResponse) -> str | None:
    """Return the words with which a model refused, where the provider gave any."""
    details = getattr(response, "provider_details", None)
    refusal = details.get("refusal") if isinstance(details, Mapping) else None
    return refusal if isinstance(refusal, str) and refusal else None


def words_of_user(content: Any) -> str | None:
    """Return the user's words as text: what a reader of the session sees of the turn."""
    if content is None:
        return None
    texts = [part.text for part in content_parts(content) if isinstance(part, Text)]
    return "\n".join(texts) if texts else dumps(content)


def last_words_of_user(messages: Sequence[ModelMessage]) -> str | None:
    """Return the last thing that the user said in a history."""
    for message in reversed(messages):
        if isinstance(message, ModelRequest):
            for part in reversed(message.parts):
                if part.part_kind == "user-prompt":
                    return words_of_user(part.content)
                if isinstance(heard := getattr(part, "transcript", None), str):
                    return heard
    return None


def _said(part: Any) -> Any:
    """Return what a part says: its text, or what was heard of it."""
    return part.content if part.part_kind == "text" else getattr(part, "transcript", None)


def words_of_model(response: ModelResponse | None) -> str | None:
    """Return a model's answer as text, or ``None`` where it only called tools."""
    if response is None:
        return None
    texts = [text for part in response.parts if isinstance(text := _said(part), str)]
    return "".join(texts) or refusal_of(response)
