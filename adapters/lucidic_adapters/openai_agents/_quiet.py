"""No second span for one call: while the SDK's span of a model call is open, the client's own is not made.

Only where somebody has instrumented the ``openai`` client: otherwise the spans of HTTP and databases below
a model call are wanted.
"""

from __future__ import annotations

import sys
from types import FunctionType
from typing import Final

from opentelemetry.context import _SUPPRESS_INSTRUMENTATION_KEY, Context


_LANGUAGE_MODELS: Final = "suppress_language_model_instrumentation"
"""The key of the instrumentations that are quiet about models only."""
_OURS: Final = "lucidic.quiet"
_QUIET: Final = {_SUPPRESS_INSTRUMENTATION_KEY: True, _LANGUAGE_MODELS: True, _OURS: True}
_WRAPPED: Final = (
    ("openai", "AsyncOpenAI", "request"),
    ("openai.resources.chat.completions", "AsyncCompletions", "create"),
    ("openai.resources.responses", "AsyncResponses", "create"),
)
"""What instrumentations of the client wrap; all of them with an object that is no plain function."""


def is_client_instrumented() -> bool:
    """Tell whether somebody makes spans of the ``openai`` client's calls."""
    for module, owner, name in _WRAPPED:
        method = getattr(getattr(sys.modules.get(module), owner, None), name, None)
        if method is not None and type(method) is not FunctionType:
            return True
    return False


def quiet(context: Context) -> Context:
    """Return the context in which a model's client is called: without spans of its own if it makes any."""
    if not is_client_instrumented():
        return context
    return Context({**context, **_QUIET})


def loud(context: Context) -> Context:
    """Return the context with our own silence lifted: the SDK's spans below a model call are spans all the same."""
    if _OURS not in context:
        return context
    return Context({key: value for key, value in context.items() if key not in _QUIET})
