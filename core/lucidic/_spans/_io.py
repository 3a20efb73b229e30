"""What went into a span and what came out; apart from the other builders, because steps need no more."""

from __future__ import annotations

from typing import Any, Final

from openinference.semconv.trace import OpenInferenceMimeTypeValues, SpanAttributes

from lucidic._spans._json import cut, dumps


_TEXT: Final = OpenInferenceMimeTypeValues.TEXT.value
_JSON: Final = OpenInferenceMimeTypeValues.JSON.value


def io_attributes(input: object = None, output: object = None) -> dict[str, Any]:
    """Describe what went into a span and what came out: text as it is, anything else as JSON.

    None is no value: nothing is written for it.
    """
    found: dict[str, Any] = {}
    if input is not None:
        found[SpanAttributes.INPUT_VALUE], found[SpanAttributes.INPUT_MIME_TYPE] = _value(input)
    if output is not None:
        found[SpanAttributes.OUTPUT_VALUE], found[SpanAttributes.OUTPUT_MIME_TYPE] = _value(output)
    return found


def _value(value: object) -> tuple[str, str]:
    return (cut(value), _TEXT) if isinstance(value, str) else (dumps(value), _JSON)
