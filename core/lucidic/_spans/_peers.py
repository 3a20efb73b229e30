"""Other tracers beside ours: which of their spans are about what an adapter of ours traces itself.

OpenInference, OpenLLMetry, Langfuse, logfire and LangSmith follow the same frameworks as our adapters do, on the
same provider or on one of their own. Their spans are theirs: they get the session, and go where they went without
us. In our pipeline they would be every call a second time, with its tokens; so what an adapter of ours traces is
kept once, and our tree passes over the spans of theirs that are current in between.
"""

from __future__ import annotations

import re
import sys
from collections.abc import Callable, Mapping
from functools import lru_cache
from typing import Any, Final

from opentelemetry import context as otel_context
from opentelemetry import trace
from opentelemetry.context import Context
from opentelemetry.sdk.trace import ReadableSpan, Span

from lucidic._spans._state import HERE_KEY, SpanState, state_of


BESIDE_KEY: Final = "lucidic.beside"
"""Context key under which an adapter starts the span of another tracer's that it stands in for."""

_SCOPES: Final = re.compile(
    r"(?:(?:openinference|opentelemetry)\.instrumentation\.(?:genai\.)?|logfire\.)(?P<framework>\w+)"
)
_LANGFUSE: Final = "langfuse-sdk"
"""One scope for all of Langfuse's spans: those of its LangChain callbacks are told by the code that starts them."""
_LANGFUSE_CALLBACKS: Final = "langfuse.langchain"
_LANGSMITH: Final = "langsmith"
_LANGSMITH_METHOD: Final = "langsmith.metadata.ls_method"
"""LangSmith makes its spans later, in a thread of its own; runs that its own decorators made have this."""
_DEEPEST: Final = 12

_traced: dict[str, Callable[[], bool]] = {}


def traces(framework: str, here: Callable[[], bool]) -> None:
    """Tell that an adapter traces a framework.

    Args:
        framework: What other tracers call their instrumentation of it: ``"langchain"``, ``"openai_agents"``.
        here: Tells whether the adapter sees what another tracer starts a span for at this moment.

    """
    _traced[framework] = here


def is_beside(span: Span, context: Context) -> bool:
    """Tell whether a span that starts now is another tracer's, of something that an adapter of ours traces too."""
    if context.get(BESIDE_KEY):
        return True
    scope = span.instrumentation_scope
    if not _traced or scope is None:
        return False
    framework = _framework_of(scope.name)
    if framework is None:
        if scope.name != _LANGFUSE or not _in_langfuse_callbacks():
            return False
        framework = "langchain"
    here = _traced.get(framework)
    return here is not None and here()


def reaches_others(tracer: object) -> bool:
    """Tell whether anybody but us gets what a tracer makes; True where that cannot be seen."""
    tracer = getattr(tracer, "_tracer", tracer)  # OpenTelemetry's proxy, made before the provider was set
    processors = getattr(getattr(tracer, "span_processor", None), "_span_processors", None)
    return not isinstance(processors, tuple) or not all(
        getattr(item, "is_lucidic", False) for item in processors
    )


def current_state(context: Context | None = None) -> SpanState | None:
    """Return the state of the current span; where that is another tracer's beside ours, of the span meant by it."""
    here = otel_context.get_current() if context is None else context
    span = trace.get_current_span(here)
    state = state_of(span)
    return meant_by(state, here) if stands_beside(span) else state


def meant_by(state: SpanState | None, context: Mapping[str, Any]) -> SpanState | None:
    """Return the deepest span of our tree where another tracer's span beside ours is current.

    Args:
        state: Of their span; ``None`` where our processor is not on its provider.
        context: Where it is current.

    """
    above = None if state is None else state.below_ours()
    ours = context.get(HERE_KEY)
    if not isinstance(ours, SpanState) or (above is not None and above.is_inside(ours)):
        return above
    return ours


def stands_beside(span: object) -> bool:
    """Tell whether a span is another tracer's, of something that an adapter of ours traces too."""
    state = state_of(span)
    if state is not None:
        return state.beside
    scope = span.instrumentation_scope if isinstance(span, ReadableSpan) else None
    if scope is None or not _traced:
        return False
    here = _traced.get("langchain" if scope.name == _LANGFUSE else _framework_of(scope.name) or "")
    return here is not None and here()


def is_kept(span: ReadableSpan) -> bool:
    """Tell, once a span beside ours has ended, whether it is of something that only its tracer knows."""
    scope = span.instrumentation_scope
    return scope is not None and scope.name == _LANGSMITH and _LANGSMITH_METHOD in (span.attributes or {})


@lru_cache(maxsize=512)
def _framework_of(scope: str) -> str | None:
    if scope == _LANGSMITH:
        return "langchain"
    found = _SCOPES.match(scope)
    return None if found is None else found["framework"]


def _in_langfuse_callbacks() -> bool:
    frame = sys._getframe(1).f_back
    for _ in range(_DEEPEST):
        if frame is None:
            return False
        if str(frame.f_globals.get("__name__")).startswith(_LANGFUSE_CALLBACKS):
            return True
        frame = frame.f_back
    return False
