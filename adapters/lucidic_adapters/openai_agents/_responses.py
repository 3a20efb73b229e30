"""Items of the Responses API, typed or as mappings, as messages (``openai.types.responses``, openai 3)."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Mapping
from contextlib import suppress
from typing import Any, Final

from openinference.semconv.trace import OpenInferenceMimeTypeValues, SpanAttributes

from lucidic.adapterkit import (
    Audio,
    ContentPart,
    Document,
    Image,
    Message,
    Reasoning,
    Text,
    ToolCall,
    Usage,
    dumps,
    io_attributes,
)


_ABSENT: Final = object()
_NO_FIELDS: Final[dict[str, Any]] = {}


def get(item: object, name: str, default: Any = None) -> Any:
    """Read a field of a typed object or of a mapping."""
    if type(item) is dict:  # most are, and asking for a Mapping takes ten times as long
        return item.get(name, default)
    if item is None:
        return default
    held: Mapping[str, Any] = getattr(item, "__dict__", _NO_FIELDS)
    if name in held:
        return held[name]
    if "__pydantic_fields__" in type(item).__dict__:
        # Pydantic words an error for each field that is not there.
        more = item.__pydantic_extra__  # type: ignore[attr-defined]
        return default if more is None else more.get(name, default)
    found = getattr(item, name, _ABSENT)
    if found is _ABSENT:
        return item.get(name, default) if isinstance(item, Mapping) else default
    return found


def fields_of(item: object) -> Mapping[str, Any]:
    """Return the fields of a typed object or of a mapping, of which many are read; empty for ``None``."""
    if type(item) is dict:
        return item
    if item is None:
        return _NO_FIELDS
    more = getattr(item, "__pydantic_extra__", None)
    held = getattr(item, "__dict__", None)
    if held is None:
        return item if isinstance(item, Mapping) else {}
    return {**held, **more} if more else held


def items_of(given: object, instructions: object = None) -> list[object]:
    """Return the items of a request: instructions first, then the input, either of which may be a text."""
    items: list[object] = []
    for role, part in (("system", instructions), ("user", given)):
        if isinstance(part, str):
            items.append({"role": role, "content": part})
        elif isinstance(part, Iterable):
            items += part
    return items


def input_messages(given: object, instructions: object = None) -> list[Message]:
    """Return the messages of a request."""
    return messages_of(items_of(given, instructions))


def output_messages(items: object) -> list[Message]:
    """Return what the model wrote as one message; results of hosted tools follow as messages of their own."""
    if not isinstance(items, Iterable):
        return []
    parts: list[ContentPart] = []
    calls: list[ToolCall] = []
    others: list[Message] = []
    for message in messages_of(items):
        if message.role != "assistant":
            others.append(message)
            continue
        calls += message.tool_calls
        if isinstance(message.content, str):
            parts.append(Text(message.content))
        elif message.content:
            parts += message.content
    first = [Message("assistant", parts, calls)] if parts or calls else []
    return first + others


def messages_of(items: Iterable[object]) -> list[Message]:
    """Translate items one by one."""
    messages: list[Message] = []
    for item in items:
        messages += item_messages(item)
    return messages


def item_messages(item: object) -> list[Message]:
    """Translate one item; what is not known is kept as JSON, never dropped."""
    kind = get(item, "type")
    if kind is None or kind == "message":
        return [_message(item)]
    translate = _ITEMS.get(kind)
    if translate is not None:
        return translate(item)
    if str(kind).endswith(_RESULT_ENDINGS):
        return _result(item)
    if str(kind).endswith("_call"):
        return [Message("assistant", tool_calls=[_hosted(item)])]
    return [Message(_role(get(item, "role")) or "assistant", _whole(item))]


def text_of(messages: Iterable[Message]) -> str | None:
    """Return the words of messages, without reasoning and calls."""
    words: list[str] = []
    for message in messages:
        if isinstance(message.content, str):
            words.append(message.content)
        elif message.content:
            words += [part.text for part in message.content if isinstance(part, Text)]
    return "\n".join(words) or None


def arguments_as_input(arguments: object) -> dict[str, Any]:
    """Describe the arguments of a call as the input of a span; they are JSON, unless a model was mistaken."""
    found = io_attributes(input=arguments)
    if isinstance(arguments, str) and arguments[:1] in ("{", "["):
        with suppress(ValueError, RecursionError):
            json.loads(arguments)
            found[SpanAttributes.INPUT_MIME_TYPE] = OpenInferenceMimeTypeValues.JSON.value
    return found


def last_words(messages: Iterable[Message]) -> str | None:
    """Return what the user said last; of a message without words, what is in it."""
    for message in reversed(list(messages)):
        if message.role == "user":
            return text_of((message,)) or _parts_of(message)
    return None


def _parts_of(message: Message) -> str | None:
    parts = () if isinstance(message.content, str) else message.content or ()
    return " ".join(f"[{type(part).__name__.lower()}]" for part in parts) or None


def usage_of(usage: object) -> Usage | None:
    """Return token counts of a response, a chat completion or a span's usage."""
    if not usage:
        return None
    told = fields_of(usage)
    read, written = told.get("input_tokens"), told.get("output_tokens")
    read_as = fields_of(told.get("input_tokens_details") or told.get("prompt_tokens_details"))
    written_as = fields_of(told.get("output_tokens_details") or told.get("completion_tokens_details"))
    prompt = told.get("prompt_tokens") if read is None else read
    completion = told.get("completion_tokens") if written is None else written
    if prompt is None and completion is None:
        return None
    return Usage(
        prompt=prompt,
        completion=completion,
        total=told.get("total_tokens"),
        cache_read=read_as.get("cached_tokens", told.get("cached_input_tokens")),
        cache_write=read_as.get("cache_write_tokens", told.get("cache_write_input_tokens")),
        reasoning=written_as.get("reasoning_tokens"),
        audio_in=read_as.get("audio_tokens"),
        audio_out=written_as.get("audio_tokens"),
    )


def parts_of(content: object) -> str | list[ContentPart] | None:
    """Translate the content of a message: text, or a list of parts of either API."""
    if content is None or isinstance(content, str):
        return content
    if not isinstance(content, Iterable) or isinstance(content, Mapping):
        return dumps(content)
    return [part for part in map(_part, content) if part is not None]


def _message(item: object) -> Message:
    item = fields_of(item) or item
    return Message(_role(get(item, "role")) or "user", parts_of(get(item, "content")))


def _role(role: object) -> str | None:
    return role if isinstance(role, str) else None


def _part(part: object) -> ContentPart | None:
    if isinstance(part, str):
        return Text(part)
    translate = _PARTS.get(get(part, "type"))
    return Text(_whole(part)) if translate is None else translate(part)


def _text_part(part: object) -> ContentPart | None:
    text = get(part, "text")
    return Text(text) if text else None


def _image_part(part: object) -> ContentPart:
    url = get(part, "image_url")
    url = url if isinstance(url, str) or url is None else get(url, "url")
    return Image(url) if url else Document(id=get(part, "file_id") or "image")


def _file_part(part: object) -> ContentPart:
    file = get(part, "file") or part
    data = get(file, "file_data")
    return Document(url=get(file, "file_url") or data, id=get(file, "file_id"), name=get(file, "filename"))


def _audio_part(part: object) -> ContentPart:
    audio = get(part, "input_audio") or get(part, "audio") or part
    form = get(audio, "format")
    data = get(audio, "data")
    mime = f"audio/{form}" if form else None
    return Audio(
        url=f"data:{mime or 'audio/wav'};base64,{data}" if data else None,
        mime_type=mime,
        transcript=get(audio, "transcript"),
    )


def _refusal_part(part: object) -> ContentPart | None:
    refusal = get(part, "refusal")
    return Text(refusal) if refusal else None


def _function_call(item: object) -> list[Message]:
    item = fields_of(item) or item
    name = get(item, "name") or ""
    space = get(item, "namespace")
    arguments = get(item, "arguments", get(item, "input"))
    call = ToolCall(_call_id(item), f"{space}.{name}" if space else name, arguments)
    return [Message("assistant", tool_calls=[call])]


def _result(item: object) -> list[Message]:
    output = get(item, "output", get(item, "result", get(item, "tools")))
    if get(output, "type") in _PARTS:
        output = [output]  # a screenshot
    content = parts_of(output) if isinstance(output, str | list | tuple) else dumps(output)
    return [Message("tool", content, tool_call_id=_call_id(item))]


def _reasoning(item: object) -> list[Message]:
    texts = [*(get(item, "summary") or ()), *(get(item, "content") or ())]
    words = "\n".join(text for part in texts if (text := get(part, "text")))
    encrypted = get(item, "encrypted_content")
    if not words and not encrypted:
        return []
    part = Reasoning(words or None, id=get(item, "id"), encrypted_content=encrypted)
    return [Message("assistant", [part])]


def _hosted(item: object) -> ToolCall:
    """A call of a tool that the provider runs: its own fields are its arguments."""
    kind = str(get(item, "type"))
    arguments = {
        name: value
        for name, value in _fields(item).items()
        if value is not None and name not in ("type", "id", "call_id", "status", "name", *_OUTCOMES)
    }
    return ToolCall(_call_id(item), get(item, "name") or kind.removesuffix("_call"), arguments)


def _hosted_with_outcome(item: object) -> list[Message]:
    call = _hosted(item)
    outcome = {
        name: value for name, value in _fields(item).items() if name in _OUTCOMES and value is not None
    }
    calls = [Message("assistant", tool_calls=[call])]
    if not outcome:
        return calls
    only = next(iter(outcome.values())) if len(outcome) == 1 else outcome
    return [*calls, Message("tool", only if isinstance(only, str) else dumps(only), tool_call_id=call.id)]


def _mcp_call(item: object) -> list[Message]:
    name, server = get(item, "name") or "mcp", get(item, "server_label")
    call = ToolCall(_call_id(item), f"{server}.{name}" if server else name, get(item, "arguments"))
    outcome = get(item, "output") or get(item, "error")
    calls = [Message("assistant", tool_calls=[call])]
    if outcome is None:
        return calls
    text = outcome if isinstance(outcome, str) else dumps(outcome)
    return [*calls, Message("tool", text, tool_call_id=call.id)]


def _mcp_tools(item: object) -> list[Message]:
    names = [get(tool, "name") for tool in get(item, "tools") or ()]
    call = ToolCall(get(item, "id"), "mcp_list_tools", {"server_label": get(item, "server_label")})
    answer = get(item, "error") or names
    return [
        Message("assistant", tool_calls=[call]),
        Message("tool", answer if isinstance(answer, str) else dumps(answer), tool_call_id=call.id),
    ]


def _approval_answer(item: object) -> list[Message]:
    answer = {name: get(item, name) for name in ("approve", "reason")}
    return [Message("tool", dumps(answer), tool_call_id=get(item, "approval_request_id"))]


def _image_generation(item: object) -> list[Message]:
    call = _hosted(item)
    result = get(item, "result")
    calls = [Message("assistant", tool_calls=[call])]
    if not result:
        return calls
    form = get(item, "output_format") or "png"
    url = result if str(result).startswith("data:") else f"data:image/{form};base64,{result}"
    return [*calls, Message("tool", [Image(url)], tool_call_id=call.id)]


def _call_id(item: object) -> str | None:
    found = get(item, "call_id") or get(item, "id")
    return found if isinstance(found, str) else None


def _fields(item: object) -> Mapping[str, Any]:
    if isinstance(item, Mapping):
        return item
    dump = getattr(item, "model_dump", None)
    return dump(exclude_none=True, warnings=False) if callable(dump) else dict(getattr(item, "__dict__", {}))


def _whole(item: object) -> str:
    return dumps(_fields(item) or item)


_RESULT_ENDINGS: Final = ("_output", "_result")
_OUTCOMES: Final = ("outputs", "output", "results", "result", "error")

_ITEMS: Final[Mapping[str, Callable[[object], list[Message]]]] = {
    "function_call": _function_call,
    "custom_tool_call": _function_call,
    "reasoning": _reasoning,
    "code_interpreter_call": _hosted_with_outcome,
    "file_search_call": _hosted_with_outcome,
    "image_generation_call": _image_generation,
    "mcp_call": _mcp_call,
    "mcp_list_tools": _mcp_tools,
    "mcp_approval_request": _function_call,
    "mcp_approval_response": _approval_answer,
}
_PARTS: Final[Mapping[str, Callable[[object], ContentPart | None]]] = {
    "text": _text_part,
    "input_text": _text_part,
    "output_text": _text_part,
    "summary_text": _text_part,
    "refusal": _refusal_part,
    "input_image": _image_part,
    "image_url": _image_part,
    "image": _image_part,
    "computer_screenshot": _image_part,
    "input_file": _file_part,
    "file": _file_part,
    "input_audio": _audio_part,
    "output_audio": _audio_part,
    "audio": _audio_part,
}
