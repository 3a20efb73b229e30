"""Attributes past OpenTelemetry's look at each of them, where that look can find nothing.

An adapter's attributes are text, numbers and booleans under text keys, and a long history has hundreds of
them. The SDK checks each in Python (SDK 1.45), which costs more than all that an adapter does to make it.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from opentelemetry.attributes import BoundedAttributes
from opentelemetry.sdk.trace import Span as SDKSpan
from opentelemetry.trace import Span


_PLAIN: Final = frozenset((str, int, float, bool))
_TEXT: Final = frozenset((str,))


def put_attributes(span: Span, attributes: dict[str, Any]) -> None:
    """Set attributes on a span, with the same result as ``span.set_attributes``.

    The quick way is for the SDK's own spans, while they have room and no limit of length; whatever differs in
    type, in span or in the SDK's private fields goes the public way.
    """
    if not attributes:
        return
    held = getattr(span, "_attributes", None)
    if (
        getattr(type(span), "set_attributes", None) is not SDKSpan.set_attributes
        or type(held) is not BoundedAttributes
        or held.max_value_len is not None
        or (held.maxlen is not None and len(held) + len(attributes) > held.maxlen)
        or not _TEXT.issuperset(map(type, attributes))
        or "" in attributes
    ):
        span.set_attributes(attributes)
        return
    if not _PLAIN.issuperset(map(type, attributes.values())):
        others = {key: value for key, value in attributes.items() if type(value) not in _PLAIN}
        span.set_attributes(others)
        attributes = {key: value for key, value in attributes.items() if key not in others}
    lock, into = getattr(span, "_lock", None), getattr(held, "_dict", None)
    if lock is None or type(into) is not dict:
        span.set_attributes(attributes)
        return
    with lock:
        if span.is_recording():
            into.update(attributes)


def plain(attributes: Mapping[str, Any] | None) -> Mapping[str, Any]:
    """Return an ended span's attributes as the dict that they are kept in; the SDK's mapping looks slowly."""
    return getattr(attributes, "_dict", attributes) or {}
