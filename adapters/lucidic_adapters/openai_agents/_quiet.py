"""No second span for one call: while the SDK's span of a model call is open, the client's own is not made.

Only where the client's spans are ours to leave out, with the provider ``openai``. Another tracer's stay, and what
we keep of them has no tokens; the spans of HTTP and databases below a model call are wanted.
"""

from __future__ import annotations

from typing import Final

from opentelemetry.context import _SUPPRESS_INSTRUMENTATION_KEY, Context

from lucidic.adapterkit import instruments_client


_LANGUAGE_MODELS: Final = "suppress_language_model_instrumentation"
"""The key of the instrumentations that are quiet about models only."""
_OURS: Final = "lucidic.quiet"
_QUIET: Final = {_SUPPRESS_INSTRUMENTATION_KEY: True, _LANGUAGE_MODELS: True, _OURS: True}


def quiet(context: Context) -> Context:
    """Return the context in which a model's client is called: without the spans that we have it make."""
    if not instruments_client("openai"):
        return context
    return Context({**context, **_QUIET})


def loud(context: Context) -> Context:
    """Return the context with our own silence lifted: the SDK's spans below a model call are spans all the same."""
    if _OURS not in context:
        return context
    return Context({key: value for key, value in context.items() if key not in _QUIET})
