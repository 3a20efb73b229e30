"""Embedding calls: a span of our own, because the SDK's loses the vectors before 2.0."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import Any

from opentelemetry import context as otel_context

from lucidic.adapterkit import (
    CANCELLED,
    AdapterTracer,
    LiveSpan,
    Usage,
    embedding_attributes,
    guarded,
    io_attributes,
)


async def embed(
    model: Any,
    tracer: AdapterTracer,
    call: Callable[..., Awaitable[Any]],
    inputs: str | Sequence[str],
    *,
    input_type: Any,
    settings: Any,
) -> Any:
    """Do ``call`` inside a span that says what ``model`` is asked and what it answers."""
    live = tracer.start("CreateEmbeddings", "EMBEDDING", attributes=_asked(model, inputs, settings))
    outside = otel_context.get_current()
    otel_context.attach(live.context)
    try:
        result = await call(inputs, input_type=input_type, settings=settings)
    except asyncio.CancelledError:
        live.end(error="cancelled", attributes={CANCELLED: True})
        raise
    except BaseException as error:
        live.end(error=error)
        raise
    else:
        _finish(live, result)
        return result
    finally:
        if otel_context.get_current() is live.context:
            otel_context.attach(outside)


def _asked(model: Any, inputs: str | Sequence[str], settings: Mapping[str, Any] | None) -> dict[str, Any]:
    found: dict[str, Any] = {}
    with guarded("pydantic_ai embedding"):
        texts = [inputs] if isinstance(inputs, str) else list(inputs)
        merged = {**(getattr(model, "settings", None) or {}), **(settings or {})}
        given = {key: value for key, value in merged.items() if not key.startswith("extra_")}
        found = embedding_attributes(model=model.model_name, texts=texts, invocation_parameters=given)
        found |= io_attributes("\n".join(texts))
    return found


def _finish(live: LiveSpan, result: Any) -> None:
    found: dict[str, Any] = {}
    with guarded("pydantic_ai embedding"):
        vectors = result.embeddings
        numbers = len(vectors[0]) if vectors else 0
        usage = Usage(prompt=result.usage.input_tokens, completion=0)
        found = embedding_attributes(model=result.model_name, vectors=vectors, usage=usage)
        found |= io_attributes(output=f"{len(vectors)} vectors of {numbers} numbers")
        found["gen_ai.response.id"] = getattr(result, "provider_response_id", None)
    live.end(attributes=found)
