"""The root of a turn where it is not ours: an HTTP server's span, a job's, a user's own."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from openinference.semconv.trace import OpenInferenceSpanKindValues as Kind
from openinference.semconv.trace import SpanAttributes
from opentelemetry import baggage
from opentelemetry.context import Context
from opentelemetry.sdk.trace import ReadableSpan

from lucidic._sdk import raw_attributes
from lucidic._spans._attributes import LOCAL_ROOT, SESSION_ID
from lucidic._spans._state import SpanState


_KIND: Final = SpanAttributes.OPENINFERENCE_SPAN_KIND
_TURNS: Final = frozenset({Kind.AGENT.value, Kind.CHAIN.value, Kind.LLM.value})
"""Kinds whose words are a user's and an answer's."""
_INPUT: Final = (SpanAttributes.INPUT_VALUE, SpanAttributes.INPUT_MIME_TYPE)
_OUTPUT: Final = (SpanAttributes.OUTPUT_VALUE, SpanAttributes.OUTPUT_MIME_TYPE)


def mark_local_root(state: SpanState, context: Context) -> None:
    """Mark a span that a proxy, a browser or a service without sessions called for.

    Such a parent never reaches the backends that show conversations, and without a root they show no turn. Who has
    sessions sends the id along, in W3C's baggage.
    """
    parent = state.span.parent if isinstance(state.span, ReadableSpan) else None
    if parent is not None and parent.is_remote and not baggage.get_baggage(SESSION_ID, context):
        state.told[LOCAL_ROOT] = True


def tell_root(attributes: Mapping[str, Any], state: SpanState) -> None:
    """Keep the words of a run that has ended for a plain root above it: of a trace, backends show its root's.

    The first run's input and the last one's output.

    Args:
        attributes: Of the run's span, masked.
        state: The run's.
    """
    root = state.parent
    if root is None or attributes.get(_KIND) not in _TURNS:
        return
    while _KIND not in _attributes_of(root):
        if root.parent is None:
            break
        root = root.parent
    else:
        return  # the run is a part of another one
    for keys in (_INPUT, _OUTPUT):
        if keys[0] in attributes and (keys is _OUTPUT or keys[0] not in root.told):
            root.told.update((key, attributes[key]) for key in keys if key in attributes)


def with_what_was_told(attributes: Mapping[str, Any], state: SpanState) -> dict[str, Any]:
    """Return a root's attributes with what runs below it left for it; what it says itself stays.

    The span itself is not touched: it is somebody else's, and other exporters get it as they would without us.
    """
    told = dict(state.told)
    for value, mime_type in (_INPUT, _OUTPUT):
        if value in attributes:
            told.pop(value, None)
            told.pop(mime_type, None)
    return {**attributes, **told}


def _attributes_of(state: SpanState) -> Mapping[str, Any]:
    span = state.span
    return raw_attributes(span) if isinstance(span, ReadableSpan) else {}
