"""The exact JSON of sessions, traces and spans; documented in the reference of the command line."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from lucidic._records import Score, StoredSession, StoredSpan
from lucidic._view._content import kind
from lucidic._view._tree import Turn
from lucidic._view._words import iso


def session_json(session: StoredSession) -> dict[str, Any]:
    """Return a session; times are ISO-8601 in UTC, ``ended`` is null while it is open."""
    return {
        "id": session.session_id,
        "name": session.name,
        "state": session.state,
        "source": session.source,
        "owner": session.owner,
        "started": iso(session.started_ns),
        "ended": None if session.ended_ns is None else iso(session.ended_ns),
        "traces": session.traces,
        "spans": session.spans,
        "errors": session.errors,
        "tokens": {
            "prompt": session.prompt_tokens,
            "completion": session.completion_tokens,
            "total": session.total_tokens,
        },
        "fields": dict(session.fields),
        "scores": [score_json(score) for score in session.scores],
    }


def score_json(score: Score) -> dict[str, Any]:
    """Return what was said of the whole session; ``value`` is a boolean, a number or a text."""
    return {
        "name": score.name,
        "value": score.value,
        "comment": score.comment,
        "annotator_kind": score.annotator_kind,
        "identifier": score.identifier,
        "metadata": dict(score.metadata),
        "time": iso(score.time_ns),
    }


def span_json(span: StoredSpan) -> dict[str, Any]:
    """Return a span; ``kind`` is OpenInference's kind, or null for a span that has none."""
    return {
        "span_id": span.span_id,
        "parent_span_id": span.parent_span_id,
        "trace_id": span.trace_id,
        "session_id": span.session_id,
        "name": span.name,
        "kind": kind(span) or None,
        "otel_kind": span.kind,
        "status": span.status,
        "status_message": span.status_message,
        "start_time": iso(span.start_ns),
        "end_time": iso(span.end_ns),
        "start_ns": span.start_ns,
        "end_ns": span.end_ns,
        "attributes": dict(span.attributes),
        "events": [
            {
                "name": event.name,
                "time": iso(event.time_ns),
                "time_ns": event.time_ns,
                "attributes": dict(event.attributes),
            }
            for event in span.events
        ],
        "links": [
            {"trace_id": link.trace_id, "span_id": link.span_id, "attributes": dict(link.attributes)}
            for link in span.links
        ],
        "scope": {"name": span.scope_name, "version": span.scope_version},
        "resource": dict(span.resource),
    }


def traces_json(turns: Iterable[Turn]) -> list[dict[str, Any]]:
    """Return traces with their spans, each in the order of their starts."""
    return [{"trace_id": turn.trace_id, "spans": [span_json(span) for span in turn.spans]} for turn in turns]
