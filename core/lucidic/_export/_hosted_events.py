"""A span as events of the hosted API, in the nesting of its 3.x clients.

A model call is ``llm_generation``, a tool ``function_call``, each recorded exception an ``error_traceback`` below
its span, and every other kind ``generic``. Nothing of a span is left out: what has no place of its own in an event
is in ``payload.misc`` (in ``payload.attributes`` of a generic one).
"""

from __future__ import annotations

import json
import uuid
from collections.abc import Mapping
from typing import Any, Final

from openinference.semconv.trace import OpenInferenceMimeTypeValues
from openinference.semconv.trace import SpanAttributes as Key

from lucidic._export._hosted_http import timestamp
from lucidic._export._hosted_llm import llm_payload
from lucidic._export._hosted_nest import pick_json
from lucidic._records import JSONValue, Score, SpanEvent, StoredSpan
from lucidic._view import _content


Event = dict[str, Any]
"""The body of ``POST events``, without ``session_id`` and ``current_time``."""

_NAMESPACE: Final = uuid.UUID("5b1f5a53-6e0b-5b39-9d6f-2f6a5a0e7c11")
"""Of the ids of events; it must never change, because a retry may come from a later version."""
_JSON: Final = OpenInferenceMimeTypeValues.JSON.value


def event_id(trace_id: str, span_id: str, part: str = "") -> str:
    """Return the id of a span's event: the same in every process and at every attempt."""
    return str(uuid.uuid5(_NAMESPACE, f"{trace_id}:{span_id}{part}"))


def events_of(span: StoredSpan) -> list[Event]:
    """Return the events of a span: its own first, then one for each exception recorded on it."""
    kind = _content.kind(span)
    if kind == "LLM":
        sort, payload = "llm_generation", llm_payload(span, _misc(span, kind), _error(span))
    elif kind == "TOOL":
        sort, payload = "function_call", _function_payload(span, kind)
    else:
        sort, payload = "generic", _generic_payload(span, kind)
    own = event_id(span.trace_id, span.span_id)
    parent = span.parent_span_id
    event: Event = {
        "client_event_id": own,
        "client_parent_event_id": event_id(span.trace_id, parent) if parent else None,
        "type": sort,
        "occurred_at": timestamp(span.start_ns),
        "duration": max(0, span.end_ns - span.start_ns) / 1e9,
        "payload": payload,
    }
    if tags := _tags(span.attributes.get(Key.TAG_TAGS)):
        event["tags"] = tags
    if metadata := _metadata(span.attributes.get(Key.METADATA)):
        event["metadata"] = metadata
    return [event, *(_traceback(span, own, place, each) for place, each in enumerate(_exceptions(span)))]


def _exceptions(span: StoredSpan) -> list[SpanEvent]:
    return [event for event in span.events if event.name == "exception"]


def _traceback(span: StoredSpan, parent: str, place: int, event: SpanEvent) -> Event:
    said = dict(event.attributes)
    sort = _content.text_of(said.pop("exception.type", None))
    message = _content.text_of(said.pop("exception.message", None))
    payload: dict[str, Any] = {
        "error": message or sort or "Unknown error",
        "traceback": _content.text_of(said.pop("exception.stacktrace", None)),
        "context": {"error_type": sort, "span": span.name},
    }
    if said:
        payload["misc"] = {"attributes": said}
    return {
        "client_event_id": event_id(span.trace_id, span.span_id, f":exception:{place}"),
        "client_parent_event_id": parent,
        "type": "error_traceback",
        "occurred_at": timestamp(event.time_ns or span.end_ns),
        "payload": payload,
    }


def _function_payload(span: StoredSpan, kind: str) -> dict[str, Any]:
    rest = dict(span.attributes)
    payload: dict[str, Any] = {"function_name": _content.tool(span)}
    arguments = _value(rest, Key.INPUT_VALUE, Key.INPUT_MIME_TYPE, "gen_ai.tool.call.arguments")
    result = _value(rest, Key.OUTPUT_VALUE, Key.OUTPUT_MIME_TYPE, "gen_ai.tool.call.result")
    if arguments is not None:
        payload["arguments"] = arguments
    failure = _content.failure(span)
    if result is not None:
        payload["return_value"] = result
    elif failure is not None:
        payload["return_value"] = {"error": failure.message, "error_type": failure.type}
    payload["error"] = None if failure is None else failure.message or failure.headline
    payload["misc"] = _misc(span, kind, rest)
    return payload


def _generic_payload(span: StoredSpan, kind: str) -> dict[str, Any]:
    misc = _misc(span, kind)
    payload: dict[str, Any] = {
        "details": span.name,
        "kind": misc.pop("kind"),
        "name": misc.pop("name"),
        "attributes": misc.pop("attributes"),
    }
    if error := _error(span):
        payload["error"] = error
    payload["misc"] = misc
    return payload


def _misc(span: StoredSpan, kind: str, rest: Mapping[str, JSONValue] | None = None) -> dict[str, Any]:
    """Return all of a span that the event's own fields do not say."""
    misc: dict[str, Any] = {
        "name": span.name,
        "kind": kind or "UNKNOWN",
        "trace_id": span.trace_id,
        "span_id": span.span_id,
        "parent_span_id": span.parent_span_id,
        "span_kind": span.kind,
        "status": span.status,
        "end_time": timestamp(span.end_ns),
        "scope": {"name": span.scope_name, "version": span.scope_version},
        "resource": dict(span.resource),
        "attributes": dict(span.attributes if rest is None else rest),
    }
    if span.status_message:
        misc["status_message"] = span.status_message
    if events := [_plain(event) for event in span.events if event.name != "exception"]:
        misc["events"] = events
    if span.links:
        misc["links"] = [
            {"trace_id": link.trace_id, "span_id": link.span_id, "attributes": dict(link.attributes)}
            for link in span.links
        ]
    return misc


def _plain(event: SpanEvent) -> dict[str, Any]:
    return {"name": event.name, "time": timestamp(event.time_ns), "attributes": dict(event.attributes)}


def _error(span: StoredSpan) -> str | None:
    failure = _content.failure(span)
    return None if failure is None else failure.headline


def _value(rest: dict[str, JSONValue], key: str, mime: str, other: str) -> Any:
    """Take a value out, as what it is if it is JSON; the text itself is written by nobody else."""
    if key not in rest:
        return pick_json(rest.get(other))
    value = rest.pop(key)
    return pick_json(value) if rest.pop(mime, None) == _JSON else value


def _tags(value: JSONValue | None) -> list[str]:
    found = pick_json(value)
    return [_content.text_of(tag) for tag in found] if isinstance(found, list) else []


def _metadata(value: JSONValue | None) -> dict[str, Any]:
    found = pick_json(value)
    return found if isinstance(found, dict) else {}


def evaluation(score: Score) -> dict[str, Any]:
    """Return the body of ``POST sdk/evals``, without ``session_id`` and ``current_time``."""
    value = score.value
    sort = "boolean" if isinstance(value, bool) else "string" if isinstance(value, str) else "number"
    found = {"result": value, "result_type": sort, "name": score.name, "description": score.comment}
    return {name: each for name, each in found.items() if each is not None}


def preview(event: Event) -> dict[str, Any]:
    """Return what an event shows until its payload is uploaded: texts cut to 200 characters, five messages."""
    payload = event["payload"]
    if event["type"] == "llm_generation":
        request, usage = payload["request"], payload["usage"]
        return {
            "request": {
                "model": _short(request["model"]),
                "provider": _short(request["provider"]),
                "messages": [
                    {name: _short(value) for name, value in message.items()}
                    for message in request.get("messages", [])[:5]
                ],
            },
            "usage": {
                name: usage[name] for name in ("input_tokens", "output_tokens", "cost") if name in usage
            },
            "response": {"output": _short(payload["response"].get("output"))},
        }
    if event["type"] == "function_call":
        arguments = payload.get("arguments")
        shown = (
            {name: _short(value) for name, value in arguments.items()}
            if isinstance(arguments, dict)
            else _short(arguments)
        )
        return {"function_name": _short(payload["function_name"]), "arguments": shown}
    if event["type"] == "error_traceback":
        return {"error": _short(payload["error"]), "traceback": _short(payload["traceback"])}
    return {"details": _short(payload["details"])}


def _short(value: Any) -> str | None:
    if value is None:
        return None
    return (value if isinstance(value, str) else json.dumps(value, ensure_ascii=False))[:200]
