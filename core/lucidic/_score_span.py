"""A score as a span: OpenInference's annotations on a carrier of their own, since ended spans are immutable.

https://github.com/Arize-ai/openinference/blob/main/spec/annotations.md
"""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from typing import Any, Final

from openinference.semconv.trace import OpenInferenceSpanKindValues, SpanAttributes
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import ReadableSpan
from opentelemetry.sdk.trace.id_generator import IdGenerator, RandomIdGenerator
from opentelemetry.sdk.util.instrumentation import InstrumentationScope
from opentelemetry.trace import Link, SpanContext, SpanKind, Status, StatusCode, TraceFlags

from lucidic._records import JSONValue, Score
from lucidic._spans import _attributes as keys


SCOPE: Final = "lucidic.scores"
"""The instrumentation scope of carriers: what tells them from spans of the program."""
PREFIX: Final = "lucidic.score."
_SESSION_SCOPE: Final = "session."
_ANNOTATION: Final = "annotations.0.annotation."


def as_number(value: object) -> float | None:
    """Return a value as the number that backends draw: yes is 1, no is 0, a word is none."""
    return float(value) if isinstance(value, (bool, int, float)) and math.isfinite(value) else None


def as_label(value: object) -> str | None:
    """Return a value as the word that backends show; a number has none."""
    if isinstance(value, bool):
        return str(value).lower()
    return value if isinstance(value, str) else None


def carrier(score: Score, resource: Resource, *, ids: IdGenerator | None = None) -> ReadableSpan:
    """Make the span that carries a score.

    That of a span's score hangs below the span, so that it makes no trace, and no turn, of its own.
    """
    ids = ids or RandomIdGenerator()
    about = _about(score)
    trace_id = about.trace_id if about is not None else ids.generate_trace_id()
    return ReadableSpan(
        name=f"score {score.name}",
        context=SpanContext(trace_id, ids.generate_span_id(), is_remote=False, trace_flags=_SAMPLED),
        parent=about,
        resource=resource,
        attributes=score_attributes(score),
        links=() if about is None else (Link(about),),
        kind=SpanKind.INTERNAL,
        status=Status(StatusCode.OK),
        start_time=score.time_ns,
        end_time=score.time_ns,
        instrumentation_scope=InstrumentationScope(SCOPE),
    )


_SAMPLED: Final = TraceFlags(TraceFlags.SAMPLED)


def _about(score: Score) -> SpanContext | None:
    if score.trace_id is None or score.span_id is None:
        return None
    return SpanContext(int(score.trace_id, 16), int(score.span_id, 16), is_remote=False, trace_flags=_SAMPLED)


def score_attributes(score: Score) -> dict[str, Any]:
    """Return a carrier's attributes: OpenInference's annotation, the same in our own words, and the session."""
    metadata = json.dumps(dict(score.metadata), ensure_ascii=False) if score.metadata else None
    annotation = {
        "name": score.name,
        "score": as_number(score.value),
        "label": as_label(score.value),
        "explanation": score.comment,
        "annotator_kind": score.annotator_kind,
        "identifier": score.identifier or None,
        "metadata": metadata,
    }
    own = {
        "name": score.name,
        "value": score.value,
        "comment": score.comment,
        "annotator_kind": score.annotator_kind,
        "identifier": score.identifier,
        "metadata": metadata,
        "trace_id": score.trace_id,
        "span_id": score.span_id,
    }
    prefix = _ANNOTATION if score.span_id is not None else _SESSION_SCOPE + _ANNOTATION
    said = as_label(score.value) or f"{score.value:g}"
    found = {
        SpanAttributes.OPENINFERENCE_SPAN_KIND: OpenInferenceSpanKindValues.EVALUATOR.value,
        SpanAttributes.INPUT_VALUE: score.name,
        SpanAttributes.OUTPUT_VALUE: said if score.comment is None else f"{said}: {score.comment}",
        **{prefix + name: value for name, value in annotation.items()},
        **{PREFIX + name: value for name, value in own.items()},
        **dict.fromkeys(keys.SESSION_KEYS, score.session_id),
        keys.SESSION_SOURCE: None if score.session_id is None else "score",
    }
    return {key: value for key, value in found.items() if value is not None}


def score_of(attributes: Mapping[str, Any], time_ns: int) -> Score | None:
    """Read a score from its carrier's attributes; None if they hold none."""
    name, value = attributes.get(PREFIX + "name"), attributes.get(PREFIX + "value")
    if not isinstance(name, str) or not isinstance(value, (str, bool, int, float)):
        return None
    kind = attributes.get(PREFIX + "annotator_kind")
    return Score(
        name=name,
        value=value,
        comment=_text(attributes.get(PREFIX + "comment")),
        annotator_kind="LLM" if kind == "LLM" else "CODE" if kind == "CODE" else "HUMAN",
        identifier=_text(attributes.get(PREFIX + "identifier")) or "",
        metadata=as_object(attributes.get(PREFIX + "metadata")),
        session_id=_text(attributes.get(keys.LUCIDIC_SESSION_ID)),
        trace_id=_text(attributes.get(PREFIX + "trace_id")),
        span_id=_text(attributes.get(PREFIX + "span_id")),
        time_ns=time_ns,
    )


def _text(value: object) -> str | None:
    return value if isinstance(value, str) else None


def as_object(value: object) -> dict[str, JSONValue]:
    """Return the object that a text holds as JSON; an empty one if it holds none."""
    if not isinstance(value, str):
        return {}
    try:
        found = json.loads(value)
    except ValueError:
        return {}
    return found if isinstance(found, dict) else {}
