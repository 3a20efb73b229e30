"""The provider ``threading``: threads and executors started inside a session carry it.

OpenTelemetry's instrumentation for threading hands its context to ``Thread``, ``Timer`` and
``ThreadPoolExecutor.submit`` (which ``map`` and ``run_in_executor`` use), and the session is in that
context.
"""

from __future__ import annotations

from collections.abc import Callable


def instrument() -> Callable[[], None]:
    """Switch it on; return the function that switches it off."""
    from opentelemetry.instrumentation.threading import ThreadingInstrumentor

    made = ThreadingInstrumentor()
    if made.is_instrumented_by_opentelemetry:
        return _nothing
    made.instrument()
    undo: Callable[[], None] = made.uninstrument
    return undo


def _nothing() -> None:
    """Undo nothing: the program switched it on itself."""
