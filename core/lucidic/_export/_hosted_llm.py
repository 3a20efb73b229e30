"""A model call as the payload of ``llm_generation``."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, Final

from openinference.semconv.trace import SpanAttributes as Key

from lucidic._export._hosted_nest import keys_below, nested, pick_json, rows
from lucidic._records import JSONValue, StoredSpan
from lucidic._view import _content


_PARAMETERS: Final[Mapping[str, tuple[str, ...]]] = {
    "temperature": ("temperature", "gen_ai.request.temperature"),
    "max_tokens": (
        "max_tokens",
        "max_completion_tokens",
        "max_output_tokens",
        "gen_ai.request.max_tokens",
    ),
    "top_p": ("top_p", "gen_ai.request.top_p"),
}
_INPUTS: Final = (Key.LLM_INPUT_MESSAGES, "gen_ai.prompt")
_OUTPUTS: Final = (Key.LLM_OUTPUT_MESSAGES, "gen_ai.completion")


def llm_payload(span: StoredSpan, misc: dict[str, Any], error: str | None) -> dict[str, Any]:
    """Return the payload; attributes that it says in full are taken out of ``misc``."""
    attributes = span.attributes
    request: dict[str, Any] = {
        "provider": _first(
            attributes, Key.LLM_PROVIDER, Key.LLM_SYSTEM, "gen_ai.provider.name", "gen_ai.system"
        ),
        "model": _content.model(span) or "unknown",
        "messages": input_messages(attributes),
        "params": _params(attributes),
    }
    if not request["messages"] and Key.INPUT_VALUE in attributes:
        request["messages"] = [{"role": "user", "content": attributes[Key.INPUT_VALUE]}]
    response = _response(attributes)
    _drop_said(misc["attributes"], _INPUTS, request["messages"])
    _drop_said(misc["attributes"], _OUTPUTS, response)
    payload: dict[str, Any] = {
        "request": request,
        "response": response,
        "usage": _usage(span),
        "status": "success" if error is None else "error",
    }
    if error is not None:
        payload["error"] = error
    payload["misc"] = misc
    return payload


def _first(attributes: Mapping[str, JSONValue], *keys: str) -> str:
    return _content.first(attributes, *keys) or "unknown"


def _params(attributes: Mapping[str, JSONValue]) -> dict[str, Any]:
    given = pick_json(attributes.get(Key.LLM_INVOCATION_PARAMETERS))
    known = {**attributes, **(given if isinstance(given, dict) else {})}
    return {
        name: next((known[key] for key in keys if isinstance(known.get(key), (int, float))), None)
        for name, keys in _PARAMETERS.items()
    }


def _usage(span: StoredSpan) -> dict[str, Any]:
    tokens = _content.tokens(span)
    usage: dict[str, Any] = {"cache": str(tokens.cached) if tokens.cached else None, "cost": None}
    if tokens.total:
        usage |= {"input_tokens": tokens.prompt, "output_tokens": tokens.completion}
    cost = span.attributes.get(Key.LLM_COST_TOTAL)
    if isinstance(cost, (int, float)) and not isinstance(cost, bool):
        usage["cost"] = float(cost)
    return usage


def _response(attributes: Mapping[str, JSONValue]) -> dict[str, Any]:
    messages = output_messages(attributes)
    response: dict[str, Any] = {"raw": None}
    texts = [text for message in messages if (text := _text(message.get("content")))]
    calls = [call for message in messages for call in message.get("tool_calls", ())]
    thinking = [text for message in messages for text in _thinking(message.get("content"))]
    if texts:
        response["output"] = "\n".join(texts)
    elif not calls and Key.OUTPUT_VALUE in attributes:
        response["output"] = attributes[Key.OUTPUT_VALUE]
    if calls:
        response["tool_calls"] = calls
    if thinking:
        response["thinking"] = thinking
    return response


def _drop_said(rest: dict[str, Any], prefixes: tuple[str, ...], said: Any) -> None:
    """Drop the flattened attributes whose texts are said elsewhere in full; all others stay."""
    texts = set(_leaves(said))
    for prefix in prefixes:
        for key in keys_below(rest, prefix):
            if isinstance(rest[key], str) and rest[key] in texts:
                del rest[key]


def _leaves(value: Any) -> Iterator[str]:
    if isinstance(value, dict):
        value = list(value.values())
    if isinstance(value, list):
        for item in value:
            yield from _leaves(item)
    elif isinstance(value, str):
        yield value


def input_messages(attributes: Mapping[str, JSONValue]) -> list[dict[str, Any]]:
    """Return what a model was told, as the messages of its provider's API."""
    return _messages(attributes, _INPUTS, "gen_ai.input.messages")


def output_messages(attributes: Mapping[str, JSONValue]) -> list[dict[str, Any]]:
    """Return what a model answered, as the messages of its provider's API."""
    return _messages(attributes, _OUTPUTS, "gen_ai.output.messages")


def _messages(
    attributes: Mapping[str, JSONValue], prefixes: tuple[str, ...], whole: str
) -> list[dict[str, Any]]:
    """Return the messages of the first convention that has any: OpenInference, then the two of GenAI."""
    for prefix in prefixes:
        if found := [_message(row) for row in nested(attributes, prefix)]:
            return found
    given = pick_json(attributes.get(whole))
    if not isinstance(given, list):
        return []
    return [_from_parts(message) for message in given if isinstance(message, dict)]


def _message(row: Any) -> dict[str, Any]:
    if not isinstance(row, dict):
        return {"role": "", "content": row}
    inner = row.get("message")
    given = {**row, **inner} if isinstance(inner, dict) else dict(row)
    given.pop("message", None)
    calls = [_call(each) for each in rows(given.pop("tool_calls", None))]
    parts = [_part(each) for each in rows(given.pop("contents", None))]
    message: dict[str, Any] = {"role": given.pop("role", ""), "content": given.pop("content", "")}
    if parts:
        message["content"] = (
            [{"type": "text", "text": message["content"]}, *parts] if message["content"] else parts
        )
    if calls:
        message["tool_calls"] = calls
    return {**message, **given}


def _call(row: Any) -> dict[str, Any]:
    given = dict(row.get("tool_call", row)) if isinstance(row, dict) else {"name": row}
    function = given.pop("function", None)
    function = dict(function) if isinstance(function, dict) else {}
    return {
        "id": given.pop("id", ""),
        "name": function.pop("name", given.pop("name", "")),
        "arguments": function.pop("arguments", given.pop("arguments", "{}")),
        **function,
        **given,
    }


def _part(row: Any) -> Any:
    inner = row.get("message_content") if isinstance(row, dict) else None
    return inner if isinstance(inner, dict) else row


def _from_parts(message: dict[str, Any]) -> dict[str, Any]:
    """Translate a message of the GenAI conventions, whose content is in ``parts``."""
    parts = message.get("parts")
    if not isinstance(parts, list):
        return message
    known = [part for part in parts if isinstance(part, dict)]
    content = [
        {"type": part["type"], "text": part["content"]} if {"type", "content"} <= part.keys() else part
        for part in known
        if part.get("type") != "tool_call"
    ]
    calls = [
        {"id": part.get("id") or "", "name": part.get("name") or "", "arguments": part.get("arguments")}
        for part in known
        if part.get("type") == "tool_call"
    ]
    only_text = len(content) == 1 and content[0].get("type") == "text"
    result = {"role": message.get("role", ""), "content": content[0].get("text") if only_text else content}
    return {**result, "tool_calls": calls} if calls else result


def _text(content: Any) -> str:
    if isinstance(content, str):
        return content
    parts = content if isinstance(content, list) else []
    return "\n".join(
        _content.text_of(part.get("text"))
        for part in parts
        if isinstance(part, dict) and part.get("type", "text") == "text" and part.get("text")
    )


def _thinking(content: Any) -> list[str]:
    parts = content if isinstance(content, list) else []
    return [
        _content.text_of(part["text"])
        for part in parts
        if isinstance(part, dict) and part.get("type") in ("reasoning", "thinking") and part.get("text")
    ]
