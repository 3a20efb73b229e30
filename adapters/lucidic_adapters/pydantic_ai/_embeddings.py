"""Embedding calls: a span of our own, because the SDK's loses the vectors before 2.0."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from typing import Any

from openinference.semconv.trace import SpanAttributes
from opentelemetry import context as otel_context

from lucidic.adapterkit import (
    CANCELLED,
    AdapterTracer,
    LiveSpan,
    Usage,
    embedding_attributes,
    guarded,
    io_attributes,
    provider_name,
)


async def embed(
    model: Any, tracer: AdapterTracer, inputs: str | Sequence[str], *, input_type: Any, settings: Any
) -> Any:
    """Call the embedding model that ``model`` wraps, inside a span."""
    texts, settings = model.prepare_embed(inputs, settings)
    live = tracer.start("CreateEmbeddings", "EMBEDDING", attributes=_asked(model, texts, settings))
    outside = otel_context.get_current()
    otel_context.attach(live.context)
    try:
        result = await model.wrapped.embed(texts, input_type=input_type, settings=settings)
    except asyncio.CancelledError:
        live.end(error="cancelled", attributes={CANCELLED: True})
        raise
    except BaseException as error:
        live.end(error=error)
        raise
    else:
        _finish(live, texts, result)
        return result
    finally:
        if otel_context.get_current() is live.context:
            otel_context.attach(outside)


def _asked(model: Any, texts: Sequence[str], settings: Mapping[str, Any] | None) -> dict[str, Any]:
    found: dict[str, Any] = {}
    with guarded("pydantic_ai embedding"):
        given = {key: value for key, value in (settings or {}).items() if not key.startswith("extra_")}
        found = embedding_attributes(model=model.model_name, texts=texts, invocation_parameters=given)
        found |= io_attributes(texts[0] if len(texts) == 1 else list(texts))
        found[SpanAttributes.LLM_PROVIDER] = provider_name(model.system)
    return found


def _finish(live: LiveSpan, texts: Sequence[str], result: Any) -> None:
    found: dict[str, Any] = {}
    with guarded("pydantic_ai embedding"):
        usage = Usage(prompt=result.usage.input_tokens, completion=0)
        vectors = result.embeddings
        found = embedding_attributes(model=result.model_name, texts=texts, vectors=vectors, usage=usage)
        found |= io_attributes(
            output=f"{len(vectors)} vectors of {len(vectors[0]) if vectors else 0} numbers"
        )
        found["gen_ai.response.id"] = getattr(result, "provider_response_id", None)
    live.end(attributes=found)
