"""Anthropic's messages on the wire (``POST /v1/messages``)."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any, Final

from lucidic.testing._scripted_reply import Answer, ToolCall
from lucidic.testing._scripted_sse import pieces, sse, words


_STOP_REASONS: Final = {
    "stop": "end_turn",
    "length": "max_tokens",
    "tool_calls": "tool_use",
    "content_filter": "refusal",
}
_SIGNATURE: Final = "c2NyaXB0ZWQ="
"""Opaque to clients, which send it back as it is."""


def body(answer: Answer) -> dict[str, Any]:
    """Return the answer to a request without ``stream``.

    Raises:
        ValueError: if a tool call's arguments are no JSON, which this format has no place for.
    """
    reply = answer.reply
    content: list[dict[str, Any]] = []
    if reply.reasoning is not None:
        content.append({"type": "thinking", "thinking": reply.reasoning, "signature": _SIGNATURE})
    content.extend({"type": "text", "text": text} for text in (reply.text, reply.refusal) if text)
    for id_, call in answer.calls("toolu"):
        content.append({**_tool_use(id_, call), "input": json.loads(call.arguments_json)})
    return _message(answer) | {
        "content": content,
        "stop_reason": _stop_reason(answer),
        "usage": _usage(answer),
    }


def stream(answer: Answer) -> Iterator[bytes]:
    """Yield the events of a streamed answer."""
    usage = _usage(answer)
    yield sse(
        {"type": "message_start", "message": _message(answer) | {"usage": usage | {"output_tokens": 1}}}
    )
    yield sse({"type": "ping"})
    for index, (block, deltas) in enumerate(_blocks(answer)):
        yield sse({"type": "content_block_start", "index": index, "content_block": block})
        for delta in deltas:
            yield sse({"type": "content_block_delta", "index": index, "delta": delta})
        yield sse({"type": "content_block_stop", "index": index})
    delta = {"stop_reason": _stop_reason(answer), "stop_sequence": None}
    yield sse({"type": "message_delta", "delta": delta, "usage": usage})
    yield sse({"type": "message_stop"})


def _blocks(answer: Answer) -> Iterator[tuple[dict[str, Any], list[dict[str, Any]]]]:
    """Yield each content block as it starts, with the deltas that fill it."""
    reply = answer.reply
    if reply.reasoning is not None:
        thoughts = [{"type": "thinking_delta", "thinking": word} for word in words(reply.reasoning)]
        signature = {"type": "signature_delta", "signature": _SIGNATURE}
        yield {"type": "thinking", "thinking": "", "signature": ""}, [*thoughts, signature]
    for text in (reply.text, reply.refusal):
        if text:
            yield {"type": "text", "text": ""}, [{"type": "text_delta", "text": word} for word in words(text)]
    for id_, call in answer.calls("toolu"):
        parts = [
            {"type": "input_json_delta", "partial_json": piece}
            for piece in ["", *pieces(call.arguments_json)]
        ]
        yield _tool_use(id_, call), parts


def _tool_use(id_: str, call: ToolCall) -> dict[str, Any]:
    return {"type": "tool_use", "id": id_, "name": call.name, "input": {}}


def _message(answer: Answer) -> dict[str, Any]:
    return {
        "id": f"msg_{answer.ident}",
        "type": "message",
        "role": "assistant",
        "model": answer.model,
        "content": [],
        "stop_reason": None,
        "stop_sequence": None,
    }


def _stop_reason(answer: Answer) -> str:
    if answer.reply.refusal is not None and answer.reply.finish_reason is None:
        return "refusal"
    return _STOP_REASONS.get(answer.finish_reason, answer.finish_reason)


def _usage(answer: Answer) -> dict[str, Any]:
    """Return Anthropic's usage, whose input tokens are those that were not read from the cache."""
    usage = answer.usage
    return {
        "input_tokens": usage.prompt - usage.cached,
        "cache_creation_input_tokens": 0,
        "cache_read_input_tokens": usage.cached,
        "cache_creation": {"ephemeral_5m_input_tokens": 0, "ephemeral_1h_input_tokens": 0},
        "output_tokens": usage.completion,
        "service_tier": "standard",
    }
