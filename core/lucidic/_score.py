"""What people and programs think of a session or of a span."""

from __future__ import annotations

import json
import math
import time
import uuid
from collections.abc import Mapping
from dataclasses import replace
from typing import Any, Final, get_args

from openinference.semconv.trace import SpanAttributes
from opentelemetry import baggage, trace
from opentelemetry.baggage.propagation import W3CBaggagePropagator
from opentelemetry.context import Context
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import ReadableSpan
from opentelemetry.trace import Span, SpanContext
from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator

from lucidic import _bound
from lucidic._active import current_session_id
from lucidic._ids import check_session_id, framework_id
from lucidic._records import AnnotatorKind, JSONValue, Score, StoredSpan
from lucidic._runtime import runtime
from lucidic._score_span import as_object, carrier
from lucidic._spans._attributes import LUCIDIC_SESSION_ID
from lucidic._spans._live import LiveSpan
from lucidic._spans._privacy import Privacy
from lucidic._spans._state import state_of
from lucidic.errors import InvalidScoreError


Target = str | Span | SpanContext | LiveSpan | ReadableSpan | StoredSpan | Mapping[str, str]
_METADATA: Final = SpanAttributes.METADATA
_KINDS: Final = get_args(AnnotatorKind)


def score(
    target: Target | None,
    name: str,
    value: bool | float | str,  # what is said of it is the value itself
    comment: str | None = None,
    *,
    annotator_kind: AnnotatorKind = "HUMAN",
    identifier: str | None = None,
    metadata: Mapping[str, JSONValue] | None = None,
    session_id: str | None = None,
) -> str:
    """Say what somebody thinks of a session or of a span; it goes wherever the spans go, and never waits.

    ``lai.score(session_id, "helpful", True)``; ``lai.score(span, "correctness", 0.8, "one date is wrong")``. Neither
    has to be of this process, and both may have ended long ago.

    Args:
        target: A session's id; or a span: OpenTelemetry's, its ``SpanContext``, one of the local store, or a carrier
            that ``lai.inject()`` wrote inside it. None: the session that is active here.
        name: What is judged: ``"helpful"``, ``"correctness"``.
        value: Yes or no, a number, or a word.
        comment: Why.
        annotator_kind: Who judges: ``"HUMAN"`` (default), ``"LLM"`` or ``"CODE"``.
        identifier: Of two scores of one target and name with one identifier, the later one replaces the earlier:
            a user's id, a run of an evaluation. Default: every score stands.
        metadata: More about it, as JSON.
        session_id: The session of a span that does not say it itself.

    Returns:
        The score's identifier.

    Raises:
        InvalidScoreError: There is nothing that the score is about, or its name or value cannot be used.
        InvalidSessionIDError: The session's id is empty or not text.

    """
    run = runtime()
    provider = run.provider()
    about = _about(target, session_id)
    chosen = uuid.uuid4().hex if identifier is None else str(identifier)
    if annotator_kind not in _KINDS:
        raise InvalidScoreError(
            f"annotator_kind is {annotator_kind!r}; it must be one of {', '.join(_KINDS)}."
        )
    given = Score(
        name=_name(name),
        value=_value(name, value),
        comment=_comment(comment),
        annotator_kind=annotator_kind,
        identifier=chosen,
        metadata=dict(metadata or {}),
        time_ns=time.time_ns(),
        **about,
    )
    resource = getattr(provider, "resource", None)
    run.exporter.span_ended(
        carrier(_private(given, run.privacy), resource if isinstance(resource, Resource) else Resource({}))
    )
    return chosen


def _name(name: object) -> str:
    if not isinstance(name, str) or not name.strip():
        raise InvalidScoreError(f"A score needs a name, such as 'helpful', and {name!r} is none.")
    return name


def _value(name: str, value: object) -> str | bool | int | float:
    if isinstance(value, (bool, int, str)) and value != "":
        return value
    if isinstance(value, float) and math.isfinite(value):
        return value
    raise InvalidScoreError(
        f"The score {name!r} is {value!r}; it must be True or False, a finite number, or a word."
    )


def _comment(comment: object) -> str | None:
    if comment is not None and not isinstance(comment, str):
        raise InvalidScoreError(f"A score's comment must be a text, not {comment!r}.")
    return comment or None


def _about(target: object, session_id: str | None) -> dict[str, Any]:
    """Return what a score is about, as fields of it."""
    if session_id is not None:
        check_session_id(session_id)
    if target is None:
        target = session_id or current_session_id() or runtime().lifecycle.last_init()
        if target is None:
            raise InvalidScoreError(
                "There is no session to score: pass its id, or a span, or open one with lai.init() or lai.session()."
            )
    if isinstance(target, str):
        return {"session_id": check_session_id(target)}
    if isinstance(target, StoredSpan):
        return _span(target.trace_id, target.span_id, session_id or target.session_id)
    if isinstance(target, Mapping):
        return _carried(target, session_id)
    span: Any = target.span if isinstance(target, LiveSpan) else target
    if isinstance(span, SpanContext):
        return _of_context(span, session_id)
    if isinstance(span, (Span, ReadableSpan)):
        state = state_of(span)
        attributes = (span.attributes or {}) if isinstance(span, ReadableSpan) else {}
        known = state.session_id if state is not None else framework_id(attributes.get(LUCIDIC_SESSION_ID))
        return _of_context(span.get_span_context(), session_id or known)
    raise InvalidScoreError(
        f"A score is about a session's id or a span, and {type(target).__name__} is neither: pass the id, a span, "
        f"or a carrier that lai.inject() wrote."
    )


def _of_context(context: SpanContext | None, session_id: str | None) -> dict[str, Any]:
    if context is None or not context.is_valid:
        raise InvalidScoreError(
            "The span has no ids, so nothing can be said of it: pass the session's id instead."
        )
    return _span(f"{context.trace_id:032x}", f"{context.span_id:016x}", session_id)


def _span(trace_id: str, span_id: str, session_id: str | None) -> dict[str, Any]:
    return {"trace_id": trace_id, "span_id": span_id, "session_id": session_id}


def _carried(headers: Mapping[str, str], session_id: str | None) -> dict[str, Any]:
    read = {str(key).lower(): value for key, value in headers.items()}
    context = TraceContextTextMapPropagator().extract(read, Context())
    found = baggage.get_baggage(_bound.SESSION_KEY, W3CBaggagePropagator().extract(read, context))
    named = session_id or framework_id(found)
    span = trace.get_current_span(context).get_span_context()
    if not span.is_valid and named is not None:
        return {"session_id": named}
    return _of_context(span, named)


def _private(given: Score, privacy: Privacy) -> Score:
    """Return the score as it may be written: comment and metadata are content, a verdict is masked and stays."""
    if not privacy.active:
        return given
    metadata = privacy.attributes({_METADATA: json.dumps(dict(given.metadata))}) if given.metadata else {}
    return replace(
        given,
        value=privacy.label(given.value) if isinstance(given.value, str) else given.value,
        comment=None if given.comment is None else privacy.text(given.comment),
        metadata=as_object(metadata.get(_METADATA)),
    )
