"""What the bodies of the hosted API hold: required and optional fields and their types, as its 3.x clients send them."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from datetime import datetime
from typing import Any, Final, TypeAlias


Check: TypeAlias = "Callable[[Any], bool]"


def _text(value: Any) -> bool:
    return isinstance(value, str)


def _number(value: Any) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool)


def _whole(value: Any) -> bool:
    return isinstance(value, int) and not isinstance(value, bool)


def _flag(value: Any) -> bool:
    return isinstance(value, bool)


def _object(value: Any) -> bool:
    return isinstance(value, dict)


def _anything(_value: Any) -> bool:
    return True


def _time(value: Any) -> bool:
    try:
        # Python 3.10 reads no Z.
        datetime.fromisoformat(value.replace("Z", "+00:00"))
    except (AttributeError, TypeError, ValueError):
        return False
    return True


def _null_or(check: Check) -> Check:
    return lambda value: value is None or check(value)


def _list_of(check: Check) -> Check:
    return lambda value: isinstance(value, list) and all(map(check, value))


def _message(value: Any) -> bool:
    return isinstance(value, dict) and {"role", "content"} <= value.keys()


def _tool_call(value: Any) -> bool:
    return isinstance(value, dict) and "name" in value


_Fields: TypeAlias = "tuple[Mapping[str, Check], Mapping[str, Check]]"
"""Required and optional fields; others may be there too."""

BODIES: Final[Mapping[str, _Fields]] = {
    "initsession": (
        {"session_id": _text, "session_name": _text, "agent_id": _text, "current_time": _time},
        {
            "task": _text,
            "tags": _list_of(_text),
            "experiment_id": _text,
            "datasetitem_id": _text,
            "checkpoint_id": _text,
            "evaluators": _list_of(_text),
            "production_monitoring": _flag,
        },
    ),
    "updatesession": (
        {"session_id": _text, "current_time": _time},
        {
            "is_finished": _flag,
            "task": _text,
            "tags": _list_of(_text),
            "is_successful": _flag,
            "is_successful_reason": _text,
            "session_eval": _number,
            "session_eval_reason": _text,
        },
    ),
    "continuesession": ({"session_id": _text, "current_time": _time}, {}),
    "events": (
        {"session_id": _text, "type": _text, "payload": _object, "occurred_at": _time, "current_time": _time},
        {
            "client_event_id": _text,
            "client_parent_event_id": _null_or(_text),
            "duration": _number,
            "tags": _list_of(_text),
            "metadata": _object,
            "needs_blob": _flag,
        },
    ),
    "sdk/evals": (
        {
            "session_id": _text,
            "result": lambda value: isinstance(value, (bool, int, float, str)),
            "result_type": lambda value: value in ("boolean", "number", "string"),
            "current_time": _time,
        },
        {"name": _text, "description": _text},
    ),
}

PAYLOADS: Final[Mapping[str, _Fields]] = {
    "llm_generation": (
        {"request": _object, "response": _object, "usage": _object},
        {"status": _text, "error": _text, "misc": _object},
    ),
    "function_call": (
        {"function_name": _text},
        {"arguments": _anything, "return_value": _anything, "error": _null_or(_text), "misc": _object},
    ),
    "error_traceback": ({"error": _text, "traceback": _text}, {"context": _anything, "misc": _object}),
    "generic": ({}, {"details": _text, "misc": _object}),
}

_LLM: Final[Mapping[str, _Fields]] = {
    "request": (
        {"provider": _text, "model": _text},
        {"messages": _list_of(_message), "params": _object},
    ),
    "response": (
        {},
        {
            "output": _anything,
            "tool_calls": _list_of(_tool_call),
            "thinking": _list_of(_text),
            "raw": _anything,
        },
    ),
    "usage": (
        {},
        {
            "input_tokens": _null_or(_whole),
            "output_tokens": _null_or(_whole),
            "cache": _null_or(_text),
            "cost": _null_or(_number),
        },
    ),
}


def violations(endpoint: str, body: Mapping[str, Any]) -> list[str]:
    """Return what is wrong with the body of a request, in words; nothing for an endpoint without rules."""
    if endpoint not in BODIES:
        return []
    found = _broken("", body, BODIES[endpoint])
    if endpoint == "events" and not found and body.get("needs_blob") is not True:
        # A payload that is to be uploaded is only a preview here.
        found = payload_violations(body["type"], body["payload"])
    return found


def payload_violations(sort: str, payload: Mapping[str, Any]) -> list[str]:
    """Return what is wrong with the payload of an event of that type; other types may hold anything."""
    found = _broken("payload.", payload, PAYLOADS.get(sort, ({}, {})))
    if sort == "llm_generation" and not found:
        for part, fields in _LLM.items():
            found += _broken(f"payload.{part}.", payload[part], fields)
    return found


def _broken(place: str, given: Mapping[str, Any], fields: _Fields) -> list[str]:
    required, optional = fields
    missing = [f"{place}{name} is missing" for name in required if name not in given]
    wrong = [
        f"{place}{name} is {given[name]!r:.60}"
        for name, check in (*required.items(), *optional.items())
        if name in given and not check(given[name])
    ]
    return missing + wrong
