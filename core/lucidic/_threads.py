"""The provider ``threading``: threads, executors and process pools used inside a session carry it.

OpenTelemetry's instrumentation for threading hands its context to ``Thread``, ``Timer`` and
``ThreadPoolExecutor.submit`` (which ``map`` and ``run_in_executor`` use), and the session is in that
context. ``ProcessPoolExecutor.submit`` is ours: a process of a pool would have no session, or, forked inside
one, that of whoever came first.
"""

from __future__ import annotations

import functools
from collections.abc import Callable
from concurrent.futures import Future, ProcessPoolExecutor
from typing import Any

from lucidic import _binding
from lucidic._carrier import extract, inject
from lucidic._guard import guarded


def instrument() -> Callable[[], None]:
    """Switch it on; return the function that switches it off."""
    from opentelemetry.instrumentation.threading import ThreadingInstrumentor

    undo_processes = _instrument_process_pools()
    made = ThreadingInstrumentor()
    if made.is_instrumented_by_opentelemetry:
        return undo_processes  # the program switched the other on itself
    made.instrument()

    def undo() -> None:
        undo_processes()
        made.uninstrument()

    return undo


class Carried:
    """A function for another process, with the session and the span that it belongs to."""

    def __init__(self, function: Callable[..., Any], carrier: dict[str, str]) -> None:
        self._function = function
        self._carrier = carrier

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        """Call the function in its session, or in none, whatever the process was forked in."""
        if not self._carrier and _binding.ambient().session_id is None:
            return self._function(*args, **kwargs)
        with extract(self._carrier):
            return self._function(*args, **kwargs)


def _instrument_process_pools() -> Callable[[], None]:
    pools: Any = ProcessPoolExecutor
    submit: Callable[..., Future[Any]] = pools.submit

    @functools.wraps(submit)
    def carrying(
        self: ProcessPoolExecutor, function: Callable[..., Any], /, *args: Any, **kwargs: Any
    ) -> Future[Any]:
        carrier: dict[str, str] = {}
        with guarded("ProcessPoolExecutor.submit"):
            inject(carrier)
        return submit(self, Carried(function, carrier), *args, **kwargs)

    pools.submit = carrying

    def undo() -> None:
        if pools.submit is carrying:
            pools.submit = submit

    return undo
