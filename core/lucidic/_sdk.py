"""Where we reach past OpenTelemetry's SDK: a span's attributes as the dict that they are kept in.

The SDK checks every attribute that is set, and answers every look, with calls in Python (SDK 1.45); that costs
more than all that an adapter does to make them. An adapter's attributes are text, numbers and booleans under text
keys, and a long history has hundreds of them.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from opentelemetry.attributes import BoundedAttributes
from opentelemetry.sdk.trace import ReadableSpan
from opentelemetry.sdk.trace import Span as SDKSpan
from opentelemetry.trace import Span


_PLAIN: Final = frozenset((str, int, float, bool))
_TEXT: Final = frozenset((str,))
_ROWS: Final = frozenset((list, tuple))


def put_attributes(span: Span, attributes: dict[str, Any]) -> None:
    """Set attributes on a span, with the same result as ``span.set_attributes``.

    The quick way is for the SDK's own spans, while they have room and no limit of length; whatever differs in
    type, in span or in the SDK's private fields goes the public way.
    """
    if not attributes:
        return
    try:
        held, lock = span._attributes, span._lock  # type: ignore[attr-defined]  # feature-detected
        into, limit = held._dict, held.maxlen
        is_quick = (
            type(into) is dict
            and held.max_value_len is None
            and (limit is None or len(into) + len(attributes) <= limit)
            and type(held) is BoundedAttributes
            and type(span).set_attributes is SDKSpan.set_attributes
        )
    except AttributeError:
        is_quick = False
    if not is_quick or not _TEXT.issuperset(map(type, attributes)) or "" in attributes:
        span.set_attributes(attributes)
        return
    if not _PLAIN.issuperset(map(type, attributes.values())):
        attributes, others = _sorted_out(attributes)
        if others:
            span.set_attributes(others)
    with lock:
        if span.is_recording():
            into.update(attributes)


def _sorted_out(attributes: dict[str, Any]) -> tuple[dict[str, Any], dict[str, Any]]:
    """Return what can be put as it is, rows of plain values as tuples, and what the SDK has to look at."""
    quick: dict[str, Any] = {}
    others: dict[str, Any] = {}
    for key, value in attributes.items():
        kind = type(value)
        if kind in _PLAIN:
            quick[key] = value
        elif kind in _ROWS and _PLAIN.issuperset(map(type, value)):
            quick[key] = tuple(value)
        else:
            others[key] = value
    return quick, others


def raw_attributes(span: ReadableSpan) -> Mapping[str, Any]:
    """Return a span's attributes, as the plain dict of the SDK's mapping where there is one.

    To iterate it is safe for a span that nobody changes meanwhile: one that starts or has ended.
    """
    found = getattr(getattr(span, "_attributes", None), "_dict", None)
    return found if type(found) is dict else span.attributes or {}
