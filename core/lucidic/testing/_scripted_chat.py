"""OpenAI's chat completions on the wire (``POST /v1/chat/completions``)."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from lucidic.testing._scripted_reply import Answer
from lucidic.testing._scripted_sse import CREATED, DONE, pieces, sse, words


def body(answer: Answer) -> dict[str, Any]:
    """Return the answer to a request without ``stream``."""
    reply = answer.reply
    message: dict[str, Any] = {
        "role": "assistant",
        "content": reply.text,
        "refusal": reply.refusal,
        "annotations": [],
    }
    if reply.reasoning is not None:
        message["reasoning_content"] = reply.reasoning
    if reply.tool_calls:
        message["tool_calls"] = [
            {"id": id_, "type": "function", "function": {"name": call.name, "arguments": call.arguments_json}}
            for id_, call in answer.calls("call")
        ]
    choice = {"index": 0, "message": message, "logprobs": None, "finish_reason": answer.finish_reason}
    return {**_head(answer, "chat.completion"), "choices": [choice], "usage": _usage(answer)}


def stream(answer: Answer) -> Iterator[bytes]:
    """Yield the events of a streamed answer; the usage comes last, if ``stream_options`` asks for it."""
    include_usage = bool((answer.request.body.get("stream_options") or {}).get("include_usage"))
    head = _head(answer, "chat.completion.chunk") | ({"usage": None} if include_usage else {})
    for delta in _deltas(answer):
        choice = {"index": 0, "delta": delta, "logprobs": None, "finish_reason": None}
        yield sse({**head, "choices": [choice]}, named=False)
    last = {"index": 0, "delta": {}, "logprobs": None, "finish_reason": answer.finish_reason}
    yield sse({**head, "choices": [last]}, named=False)
    if include_usage:
        yield sse({**head, "choices": [], "usage": _usage(answer)}, named=False)
    yield DONE


def _deltas(answer: Answer) -> Iterator[dict[str, Any]]:
    reply = answer.reply
    yield {"role": "assistant", "content": None if reply.text is None else "", "refusal": None}
    for word in words(reply.reasoning):
        yield {"reasoning_content": word}
    for word in words(reply.text):
        yield {"content": word}
    for word in words(reply.refusal):
        yield {"refusal": word}
    for index, (id_, call) in enumerate(answer.calls("call")):
        function = {"name": call.name, "arguments": ""}
        yield {"tool_calls": [{"index": index, "id": id_, "type": "function", "function": function}]}
        for piece in pieces(call.arguments_json):
            yield {"tool_calls": [{"index": index, "function": {"arguments": piece}}]}


def _head(answer: Answer, kind: str) -> dict[str, Any]:
    return {
        "id": f"chatcmpl-{answer.ident}",
        "object": kind,
        "created": CREATED,
        "model": answer.model,
        "service_tier": "default",
        "system_fingerprint": "fp_scripted",
    }


def _usage(answer: Answer) -> dict[str, Any]:
    usage = answer.usage
    return {
        "prompt_tokens": usage.prompt,
        "completion_tokens": usage.completion,
        "total_tokens": usage.total,
        "prompt_tokens_details": {"cached_tokens": usage.cached, "audio_tokens": 0},
        "completion_tokens_details": {
            "reasoning_tokens": usage.reasoning,
            "audio_tokens": 0,
            "accepted_prediction_tokens": 0,
            "rejected_prediction_tokens": 0,
        },
    }
