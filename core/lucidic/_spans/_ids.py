"""A trace id that an adapter chooses: a framework's own trace that goes on in another process."""

from __future__ import annotations

from collections.abc import Generator
from contextlib import contextmanager
from contextvars import ContextVar

from opentelemetry.sdk.trace import Tracer as SDKTracer
from opentelemetry.sdk.trace.id_generator import IdGenerator
from opentelemetry.trace import Tracer
from typing_extensions import override


_chosen: ContextVar[int | None] = ContextVar("lucidic_trace_id", default=None)


class _ChosenIds(IdGenerator):
    """The provider's own ids, but for a trace id that was chosen in this context."""

    def __init__(self, inner: IdGenerator) -> None:
        self._inner = inner

    @override
    def generate_span_id(self) -> int:
        return self._inner.generate_span_id()

    @override
    def generate_trace_id(self) -> int:
        return _chosen.get() or self._inner.generate_trace_id()

    # OpenTelemetry asks this from 1.40 on; the floor has no such method to override.
    def is_trace_id_random(self) -> bool:
        """Tell others whether the id may be relied on as random: not a chosen one."""
        told = getattr(self._inner, "is_trace_id_random", None)
        return _chosen.get() is None and callable(told) and bool(told())


def with_chosen_ids(tracer: Tracer) -> Tracer:
    """Let ``chosen_trace_id`` hold for a tracer of ours; one that is not OpenTelemetry's SDK's stays as it is.

    The id generator belongs to the tracer of our scope alone, so nobody else's traces are touched.
    """
    if isinstance(tracer, SDKTracer) and not isinstance(tracer.id_generator, _ChosenIds):
        # OpenInference's tracer is a proxy of the SDK's, whose generator it uses.
        inner: SDKTracer = getattr(tracer, "__wrapped__", tracer)
        inner.id_generator = _ChosenIds(tracer.id_generator)
    return tracer


@contextmanager
def chosen_trace_id(trace_id: int) -> Generator[None, None, None]:
    """Give a trace that our tracer starts inside the block this id.

    Args:
        trace_id: 128 bits, evenly distributed, because samplers decide by them.

    """
    token = _chosen.set(trace_id)
    try:
        yield
    finally:
        _chosen.reset(token)
