"""Count the tokens of a model call once, however many tracers saw it.

A framework's model call and the client call under it are a parent and a child of which only the parent
keeps the token counts. The rule looks at spans, not at names of packages, so it holds for every
combination: LangChain over an instrumented ``openai`` client, an SDK that traces itself, and so on.

==================  ==========================================  ======================================
outer span          inner span                                  whose tokens count
==================  ==========================================  ======================================
an adapter of ours  a client's instrumentation                  the adapter's
an adapter of ours  a client that traces itself                 the adapter's
an instrumentation  a client that traces itself                 the instrumentation's
a user's own span   anything                                    both: nobody knows whether it has any
==================  ==========================================  ======================================

What another tracer says of a framework that an adapter of ours traces is not kept a second time (``_peers.py``), so
it needs no row.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from openinference.semconv.trace import OpenInferenceSpanKindValues, SpanAttributes
from opentelemetry.sdk.trace import ReadableSpan

from lucidic._sdk import raw_attributes
from lucidic._spans import _attributes as keys
from lucidic._spans._state import SpanState


_COUNTS: Final = ("llm.token_count.", "gen_ai.usage.", "llm.usage.")
_SIGNS: Final = (
    SpanAttributes.LLM_TOKEN_COUNT_PROMPT,
    "gen_ai.usage.input_tokens",
    "gen_ai.usage.prompt_tokens",
)
_KINDS: Final = {OpenInferenceSpanKindValues.LLM.value, OpenInferenceSpanKindValues.EMBEDDING.value}
_MODEL_CALLS: Final = {"chat", "text_completion", "generate_content", "embeddings"}
_INSTRUMENTATIONS: Final = (
    "lucidic.", "openinference.instrumentation.", "opentelemetry.instrumentation.", "pydantic-ai", "logfire.",
)  # fmt: skip


def has_tokens(attributes: Mapping[str, Any]) -> bool:
    """Tell whether a span says how many tokens a model call took."""
    for sign in _SIGNS:  # noqa: SIM110  # for every span: a generator costs more than the look
        if sign in attributes:
            return True
    return False


def counted_above(state: SpanState) -> bool:
    """Tell whether a span above is the same model call, and counts its tokens."""
    step = state.parent
    while step is not None:
        span = step.span
        attributes = raw_attributes(span) if isinstance(span, ReadableSpan) else None
        if attributes is None:
            return False
        if _is_model_call(attributes):
            return _is_instrumentation(span)
        if SpanAttributes.OPENINFERENCE_SPAN_KIND in attributes:
            return False  # a tool, an agent: what runs below it is a call of its own
        step = step.parent
    return False


def without_tokens(attributes: Mapping[str, Any]) -> dict[str, Any]:
    """Return the attributes without token counts, and with the mark that says so."""
    kept = {key: value for key, value in attributes.items() if not key.startswith(_COUNTS)}
    kept[keys.TOKENS_ABOVE] = True
    return kept


def _is_model_call(attributes: Mapping[str, Any]) -> bool:
    kind = attributes.get(SpanAttributes.OPENINFERENCE_SPAN_KIND)
    if kind is not None:
        return kind in _KINDS
    return (
        attributes.get("gen_ai.operation.name") in _MODEL_CALLS
        or SpanAttributes.LLM_MODEL_NAME in attributes
        or SpanAttributes.LLM_INVOCATION_PARAMETERS in attributes
    )


def _is_instrumentation(span: object) -> bool:
    scope = getattr(span, "instrumentation_scope", None)
    return bool(scope is not None and str(scope.name).startswith(_INSTRUMENTATIONS))
