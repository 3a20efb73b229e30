"""What a user put beside a run: metadata and tags in the framework's place for it, and blocks around it."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any

from openinference.semconv.trace import SpanAttributes
from opentelemetry import context as otel_context

from lucidic import _binding, _bound
from lucidic._spans._json import dumps


def user_attributes(
    metadata: Mapping[str, Any] | None = None, tags: Sequence[str] | None = None
) -> dict[str, Any]:
    """Describe the metadata and tags of a run, joined to those of the blocks around it.

    Without own metadata (or tags) nothing is written for it: a span has the blocks' by itself.

    Args:
        metadata: The run's own; where a block has the same key, the run's counts.
        tags: The run's own, which come first.

    """
    found: dict[str, Any] = {}
    if metadata:
        around = _around(SpanAttributes.METADATA)
        found[SpanAttributes.METADATA] = dumps({**_object(around), **metadata} if around else metadata)
    if tags:
        others = _around(SpanAttributes.TAG_TAGS) or ()
        found[SpanAttributes.TAG_TAGS] = [*tags, *(tag for tag in others if tag not in tags)]
    return found


def block_here() -> dict[str, Any]:
    """Return what the blocks around bind, as OpenTelemetry context values; nothing where no session is bound.

    For a span that starts later, where the block is left already: a stream that was made inside it.
    """
    context = _binding.cleaned()
    session_id = _binding.ambient(context).session_id
    if session_id is None:
        return {}
    names = (SpanAttributes.USER_ID, SpanAttributes.METADATA, SpanAttributes.TAG_TAGS)
    found = {name: value for name in names if (value := _binding.attribute(name, context)) is not None}
    return {_bound.SESSION_KEY: session_id, **found}


def _around(name: str) -> Any:
    return _binding.attribute(name, otel_context.get_current())


def _object(text: object) -> dict[str, Any]:
    try:
        found = json.loads(text) if isinstance(text, str) else None
    except ValueError:  # foreign code may have put anything there
        found = None
    return found if isinstance(found, dict) else {}
