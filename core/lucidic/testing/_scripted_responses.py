"""OpenAI's responses on the wire (``POST /v1/responses``)."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Final

from lucidic.testing._scripted_reply import Answer
from lucidic.testing._scripted_sse import CREATED, pieces, sse, words


_ECHOED: Final[dict[str, Any]] = {
    "instructions": None,
    "max_output_tokens": None,
    "metadata": {},
    "parallel_tool_calls": True,
    "previous_response_id": None,
    "reasoning": {"effort": None, "summary": None},
    "store": True,
    "temperature": 1.0,
    "text": {"format": {"type": "text"}},
    "tool_choice": "auto",
    "tools": [],
    "top_p": 1.0,
    "truncation": "disabled",
    "user": None,
}
"""What a response repeats of its request, with the API's defaults."""

_INCOMPLETE: Final = {"length": "max_output_tokens", "content_filter": "content_filter"}


def body(answer: Answer) -> dict[str, Any]:
    """Return the answer to a request without ``stream``."""
    reason = _INCOMPLETE.get(answer.finish_reason)
    return _head(answer) | {
        "status": "incomplete" if reason else "completed",
        "incomplete_details": {"reason": reason} if reason else None,
        "output": _items(answer),
        "usage": _usage(answer),
    }


def stream(answer: Answer) -> Iterator[bytes]:
    """Yield the events of a streamed answer, numbered from 0."""
    for number, event in enumerate(_events(answer)):
        yield sse({**event, "sequence_number": number})


def _events(answer: Answer) -> Iterator[dict[str, Any]]:
    started = _head(answer) | {
        "status": "in_progress",
        "incomplete_details": None,
        "output": [],
        "usage": None,
    }
    yield {"type": "response.created", "response": started}
    yield {"type": "response.in_progress", "response": started}
    for index, item in enumerate(_items(answer)):
        empty = _EMPTY[item["type"]]
        yield {
            "type": "response.output_item.added",
            "output_index": index,
            "item": item | {"status": "in_progress"} | empty,
        }
        for event in _ITEM_EVENTS[item["type"]](item):
            yield {**event, "item_id": item["id"], "output_index": index}
        yield {"type": "response.output_item.done", "output_index": index, "item": item}
    finished = body(answer)
    yield {"type": f"response.{finished['status']}", "response": finished}


def _message_events(item: dict[str, Any]) -> Iterator[dict[str, Any]]:
    for index, part in enumerate(item["content"]):
        key = "refusal" if part["type"] == "refusal" else "text"
        name = f"response.{part['type']}"
        extra: dict[str, Any] = {"logprobs": []} if key == "text" else {}
        yield {"type": "response.content_part.added", "content_index": index, "part": {**part, key: ""}}
        for word in words(part[key]):
            yield {"type": f"{name}.delta", "content_index": index, "delta": word, **extra}
        yield {"type": f"{name}.done", "content_index": index, key: part[key], **extra}
        yield {"type": "response.content_part.done", "content_index": index, "part": part}


def _reasoning_events(item: dict[str, Any]) -> Iterator[dict[str, Any]]:
    for index, part in enumerate(item["summary"]):
        name = "response.reasoning_summary"
        yield {"type": f"{name}_part.added", "summary_index": index, "part": {**part, "text": ""}}
        for word in words(part["text"]):
            yield {"type": f"{name}_text.delta", "summary_index": index, "delta": word}
        yield {"type": f"{name}_text.done", "summary_index": index, "text": part["text"]}
        yield {"type": f"{name}_part.done", "summary_index": index, "part": part}


def _call_events(item: dict[str, Any]) -> Iterator[dict[str, Any]]:
    name = "response.function_call_arguments"
    for piece in pieces(item["arguments"]):
        yield {"type": f"{name}.delta", "delta": piece}
    yield {"type": f"{name}.done", "name": item["name"], "arguments": item["arguments"]}


_ITEM_EVENTS: Final = {
    "message": _message_events,
    "reasoning": _reasoning_events,
    "function_call": _call_events,
}
_EMPTY: Final[dict[str, dict[str, Any]]] = {
    "message": {"content": []},
    "reasoning": {"summary": []},
    "function_call": {"arguments": ""},
}
"""What an item lacks while it is in progress."""


def _items(answer: Answer) -> list[dict[str, Any]]:
    reply, ident = answer.reply, answer.ident
    items: list[dict[str, Any]] = []
    if reply.reasoning is not None:
        summary = [{"type": "summary_text", "text": reply.reasoning}]
        items.append({"id": f"rs_{ident}", "type": "reasoning", "summary": summary, "status": "completed"})
    content: list[dict[str, Any]] = []
    if reply.text is not None:
        content.append({"type": "output_text", "text": reply.text, "annotations": [], "logprobs": []})
    if reply.refusal is not None:
        content.append({"type": "refusal", "refusal": reply.refusal})
    if content:
        message = {"id": f"msg_{ident}", "type": "message", "role": "assistant", "content": content}
        items.append({**message, "status": "completed"})
    for number, (id_, call) in enumerate(answer.calls("call")):
        function = {"call_id": id_, "name": call.name, "arguments": call.arguments_json}
        items.append(
            {"id": f"fc_{ident}{number}", "type": "function_call", **function, "status": "completed"}
        )
    return items


def _head(answer: Answer) -> dict[str, Any]:
    request = answer.request.body
    echoed = {key: request.get(key, default) for key, default in _ECHOED.items()}
    conversation = request.get("conversation")
    return echoed | {
        "id": f"resp_{answer.ident}",
        "object": "response",
        "created_at": CREATED,
        "model": answer.model,
        "background": False,
        "conversation": {"id": conversation} if isinstance(conversation, str) else conversation,
        "error": None,
        "service_tier": "default",
    }


def _usage(answer: Answer) -> dict[str, Any]:
    usage = answer.usage
    return {
        "input_tokens": usage.prompt,
        "input_tokens_details": {"cached_tokens": usage.cached, "cache_write_tokens": 0},
        "output_tokens": usage.completion,
        "output_tokens_details": {"reasoning_tokens": usage.reasoning},
        "total_tokens": usage.total,
    }
