"""Spans of the backends in the local store's form, so that they can be compared."""

from __future__ import annotations

import base64
import json
from collections.abc import Mapping
from datetime import datetime, timezone
from typing import Any

from lucidic._records import StoredSpan


JSON_TEXTS = ("metadata", "tool.parameters", "llm.prompt_template.variables", "document.metadata")
"""Ends of the attributes whose JSON Phoenix takes apart."""
Told = dict[str, Any]


def from_store(span: StoredSpan) -> Told:
    """Return what a backend must have of a span."""
    return {
        "ids": (span.trace_id, span.span_id, span.parent_span_id),
        "name": span.name,
        "status": (span.status, span.status_message),
        "times": (_moment(span.start_ns), _moment(span.end_ns)),
        "events": [(event.name, dict(event.attributes)) for event in span.events],
        "attributes": _flat(
            {
                key: json.loads(value) if key.endswith(JSON_TEXTS) and isinstance(value, str) else value
                for key, value in span.attributes.items()
            }
        ),
    }


def from_phoenix(span: Mapping[str, Any]) -> Told:
    """Read a span of Phoenix's REST API."""
    return {
        "ids": (span["context"]["trace_id"], span["context"]["span_id"], span["parent_id"]),
        "name": span["name"],
        "status": (span["status_code"], span["status_message"]),
        "times": tuple(datetime.fromisoformat(span[side]) for side in ("start_time", "end_time")),
        "events": [(event["name"], event["attributes"]) for event in span["events"]],
        "attributes": _flat({**span["attributes"], "openinference.span.kind": span["span_kind"]}),
    }


def from_mlflow(span: Mapping[str, Any], wanted: StoredSpan) -> Told:
    """Read a span of MLflow's; of its attributes those that were sent, for it adds its own."""
    return {
        "ids": tuple(_hex(span[key]) for key in ("trace_id", "span_id", "parent_span_id")),
        "name": span["name"],
        "status": (span["status"]["code"].removeprefix("STATUS_CODE_"), span["status"]["message"]),
        "times": tuple(_moment(span[f"{side}_time_unix_nano"]) for side in ("start", "end")),
        "events": [(event["name"], event["attributes"]) for event in span["events"]],
        "attributes": from_store(wanted)["attributes"]
        if all(_is_kept(value, span["attributes"].get(key)) for key, value in wanted.attributes.items())
        else span["attributes"],
    }


def _is_kept(value: object, text: str | None) -> bool:
    """MLflow keeps values as JSON, and texts that are JSON as they are."""
    return text is not None and (text == value or json.loads(text) == value)


def _hex(text: str | None) -> str | None:
    return base64.b64decode(text).hex() if text else None


def _moment(ns: int) -> datetime:
    """Round as Phoenix does."""
    return datetime.fromtimestamp(int(ns) / 1e9, tz=timezone.utc)


def _flat(value: Any, key: str = "") -> Told:
    """Return nested values under dotted keys."""
    if isinstance(value, dict):
        items = list(value.items())
    elif isinstance(value, list) and any(isinstance(item, dict | list) for item in value):
        items = list(enumerate(value))
    else:
        return {key: value}
    found: Told = {}
    for name, inner in items:
        found |= _flat(inner, f"{key}.{name}" if key else str(name))
    return found
