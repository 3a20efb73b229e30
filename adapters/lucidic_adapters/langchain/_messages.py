"""LangChain's messages in the kit's words."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import lru_cache
from typing import Any, Final, cast

from langchain_core.messages import (
    AIMessage,
    BaseMessage,
    ChatMessage,
    FunctionMessage,
    ToolMessage,
)

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


_ROLES: Final = {
    "human": "user",
    "ai": "assistant",
    "AIMessageChunk": "assistant",
    "HumanMessageChunk": "user",
    "SystemMessageChunk": "system",
}

_CALL_BLOCKS: Final = frozenset(
    ("tool_use", "tool_call", "tool_call_chunk", "invalid_tool_call", "function_call", "input_json_delta")
)
"""Blocks that repeat ``message.tool_calls``."""


def message_of(message: Any) -> Message:
    """Translate a message, whatever form LangChain accepts it in: object, pair, mapping or text."""
    return _translator(message.__class__)(message)


@lru_cache(maxsize=1024)
def _translator(kind: type) -> Callable[[Any], Message]:
    """Return what translates objects of a class: asking Pydantic's classes what one is takes long."""
    if issubclass(kind, AIMessage):
        return _of_answer
    if issubclass(kind, ToolMessage):
        return _of_result
    if issubclass(kind, BaseMessage):
        return _of_message
    if issubclass(kind, str):
        return lambda text: Message("user", text)
    return _of_other


def _of_message(message: BaseMessage) -> Message:
    return Message(_role(message), _content(message.content), name=message.name)


def _of_result(message: ToolMessage) -> Message:
    content = _content(message.content)
    return Message("tool", content, tool_call_id=message.tool_call_id, name=message.name)


def _of_answer(message: AIMessage) -> Message:
    content = _content(message.content)
    if isinstance(content, list):
        content = _joined(content, message.content)
    if message.additional_kwargs and (extra := _extra_parts(message.additional_kwargs)):
        content = [*extra, *([Text(content)] if isinstance(content, str) and content else content or ())]
    return Message(_role(message), content, tool_calls=tool_calls_of(message), name=message.name)


def _of_other(message: object) -> Message:
    if isinstance(message, tuple) and len(message) == 2:
        return Message(_ROLES.get(str(message[0]), str(message[0])), _content(message[1]))
    if isinstance(message, Mapping):
        role = message.get("role") or message.get("type") or "user"
        answers = message.get("tool_call_id")
        return Message(
            _ROLES.get(str(role), str(role)), _content(message.get("content")), tool_call_id=answers
        )
    return Message("user", dumps(message))


def _role(message: BaseMessage) -> str:
    kind = message.type
    known = _ROLES.get(kind)
    if known is not None:
        return known
    if kind == "system":
        extra = message.additional_kwargs
        return str(extra.get("__openai_role__") or "system") if extra else "system"
    if isinstance(message, ChatMessage):
        return _ROLES.get(message.role, message.role)
    return "function" if isinstance(message, FunctionMessage) else kind


def tool_calls_of(message: AIMessage) -> list[ToolCall]:
    """Return the calls that a message asks for, those with arguments that are no JSON included."""
    calls = [ToolCall(call.get("id"), call["name"], call["args"]) for call in message.tool_calls]
    calls += [
        ToolCall(call.get("id"), call.get("name") or "", call.get("args"))
        for call in message.invalid_tool_calls
    ]
    extra = message.additional_kwargs
    if calls or not extra:
        return calls
    raw = extra.get("tool_calls")
    if isinstance(raw, list):
        calls = [_raw_call(call) for call in raw if isinstance(call, Mapping)]
    function = extra.get("function_call")
    if isinstance(function, Mapping):
        calls.append(ToolCall(None, str(function.get("name") or ""), function.get("arguments")))
    return calls


def _raw_call(call: Mapping[str, Any]) -> ToolCall:
    function = call.get("function")
    inner = function if isinstance(function, Mapping) else call
    return ToolCall(call.get("id"), str(inner.get("name") or ""), inner.get("arguments"))


def _extra_parts(extra: Mapping[str, Any]) -> list[ContentPart]:
    """Read what providers put beside the content: reasoning, a refusal, a spoken answer."""
    parts: list[ContentPart] = []
    if not extra:
        return parts
    thought = extra.get("reasoning_content")
    if isinstance(thought, str) and thought:
        parts.append(Reasoning(thought))
    reasoning = extra.get("reasoning")
    if isinstance(reasoning, Mapping):
        parts.append(_reasoning(reasoning))
    refusal = extra.get("refusal")
    if isinstance(refusal, str) and refusal:
        parts.append(Text(refusal))
    audio = extra.get("audio")
    if isinstance(audio, Mapping):
        data = audio.get("data")
        mime = f"audio/{audio.get('format') or 'wav'}"
        parts.append(Audio(_data_url(data, mime), mime, audio.get("transcript")))
    return parts


def _content(content: object) -> str | list[ContentPart] | None:
    if content is None or isinstance(content, str):
        return content
    if not isinstance(content, list | tuple):
        return dumps(content)
    return parts_of(content)


def parts_of(blocks: Iterable[object]) -> list[ContentPart]:
    """Translate content blocks: LangChain's own (both versions), OpenAI's, Anthropic's, Google's."""
    parts: list[ContentPart] = []
    for block in blocks:
        if isinstance(block, str):
            parts.append(Text(block))
        elif isinstance(block, Mapping):
            part = _part(block)
            if part is not None:
                parts.append(part)
        else:
            parts.append(Text(dumps(block)))
    return parts


def _joined(parts: list[ContentPart], blocks: object) -> list[ContentPart]:
    """Join runs of text: a streamed answer comes in one block for each delta."""
    if len(parts) < 2 or not any(isinstance(block, Mapping) for block in cast("list[object]", blocks)):
        return parts
    joined: list[ContentPart] = []
    for part in parts:
        last = joined[-1] if joined else None
        if isinstance(part, Text) and isinstance(last, Text):
            joined[-1] = Text(f"{last.text}{part.text}")
        else:
            joined.append(part)
    return joined


def _part(block: Mapping[str, Any]) -> ContentPart | None:
    kind = block.get("type")
    if kind in _CALL_BLOCKS:
        return None
    reader = _READERS.get(str(kind))
    if reader is not None:
        return reader(block)
    if isinstance(block.get("text"), str):
        return Text(block["text"])
    return _builtin(block)


def _text(block: Mapping[str, Any]) -> ContentPart | None:
    text = block.get("text")
    return Text(text) if isinstance(text, str) and text else None


def _refusal(block: Mapping[str, Any]) -> ContentPart:
    return Text(str(block.get("refusal") or ""))


def _reasoning(block: Mapping[str, Any]) -> Reasoning:
    text = block.get("reasoning") or block.get("thinking") or block.get("text")
    summary = block.get("summary")
    if not text and isinstance(summary, Sequence) and not isinstance(summary, str):
        texts = [item.get("text") for item in summary if isinstance(item, Mapping)]
        text = "\n\n".join(found for found in texts if isinstance(found, str))
    extras = block.get("extras")
    more: Mapping[str, Any] = extras if isinstance(extras, Mapping) else {}
    return Reasoning(
        text if isinstance(text, str) else None,
        id=block.get("id"),
        signature=block.get("signature") or more.get("signature"),
        encrypted_content=block.get("encrypted_content") or more.get("encrypted_content"),
        data=block.get("data") if block.get("type") == "redacted_thinking" else None,
    )


def _image(block: Mapping[str, Any]) -> ContentPart | None:
    inner = block.get("image_url")
    url = inner.get("url") if isinstance(inner, Mapping) else inner
    url = url or _source_url(block, "image/png")
    return Image(url) if isinstance(url, str) else _builtin(block)


def _audio(block: Mapping[str, Any]) -> ContentPart | None:
    inner = block.get("input_audio")
    if isinstance(inner, Mapping):
        mime = f"audio/{inner.get('format') or 'wav'}"
        return Audio(_data_url(inner.get("data"), mime), mime)
    return Audio(_source_url(block, "audio/wav"), _mime(block), block.get("transcript"))


def _video(block: Mapping[str, Any]) -> ContentPart | None:
    inner = block.get("video_url")
    url = inner.get("url") if isinstance(inner, Mapping) else inner
    url = url or _source_url(block, "video/mp4")
    return Video(url) if isinstance(url, str) else _builtin(block)


def _file(block: Mapping[str, Any]) -> ContentPart:
    found = block.get("file")
    inner: Mapping[str, Any] = found if isinstance(found, Mapping) else block
    url = inner.get("file_data") or inner.get("file_url") or _source_url(block, "application/pdf")
    source = block.get("source")
    text = block.get("text")
    if isinstance(source, Mapping) and source.get("type") == "text":
        text, url = source.get("data"), None
    return Document(
        content=text if isinstance(text, str) else None,
        id=inner.get("file_id") or block.get("file_id") or block.get("id"),
        url=url if isinstance(url, str) else None,
        mime_type=_mime(block),
        name=inner.get("filename") or block.get("name") or block.get("title"),
    )


def _media(block: Mapping[str, Any]) -> ContentPart | None:
    """Read Google's form for media of every kind."""
    reader = {"image": _image, "audio": _audio, "video": _video}.get((_mime(block) or "").partition("/")[0])
    url = block.get("file_uri")
    given = {**block, "url": url} if isinstance(url, str) else block
    return _file(given) if reader is None else reader(given)


def _builtin(block: Mapping[str, Any]) -> ContentPart | None:
    """Show a provider's own tools (search, code interpreter, …): a call as a call, the rest as text."""
    kind = str(block.get("type") or "")
    if kind.endswith(("_call", "tool_use")):
        hidden = ("type", "id", "index", "status", "caller")
        arguments = {key: value for key, value in block.items() if key not in hidden and value is not None}
        given = arguments.get("input") or arguments.get("args")
        if isinstance(given, Mapping) and kind.startswith("server_tool"):
            arguments = {**given}
        return ToolCall(block.get("id"), str(block.get("name") or kind), arguments)
    return Text(dumps(block)) if block else None


def _source_url(block: Mapping[str, Any], mime: str) -> str | None:
    source = block.get("source")
    inner: Mapping[str, Any] = source if isinstance(source, Mapping) else block
    url = inner.get("url") or block.get("url")
    if isinstance(url, str):
        return url
    data = inner.get("base64") or inner.get("data")
    return _data_url(data, _mime(block) or mime)


def _mime(block: Mapping[str, Any]) -> str | None:
    source = block.get("source")
    inner: Mapping[str, Any] = source if isinstance(source, Mapping) else block
    mime = inner.get("media_type") or inner.get("mime_type") or block.get("mime_type")
    return mime if isinstance(mime, str) else None


def _data_url(data: object, mime: str) -> str | None:
    if not isinstance(data, str) or not data:
        return None
    return data if data.startswith(("data:", "http")) else f"data:{mime};base64,{data}"


_READERS: Final[Mapping[str, Callable[[Mapping[str, Any]], ContentPart | None]]] = {
    "text": _text,
    "input_text": _text,
    "output_text": _text,
    "refusal": _refusal,
    "reasoning": _reasoning,
    "thinking": _reasoning,
    "reasoning_content": _reasoning,
    "redacted_thinking": _reasoning,
    "image": _image,
    "image_url": _image,
    "input_image": _image,
    "audio": _audio,
    "input_audio": _audio,
    "media": _media,
    "video": _video,
    "video_url": _video,
    "file": _file,
    "input_file": _file,
    "document": _file,
    "text-plain": _file,
}
