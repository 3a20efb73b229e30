"""One clear word to those who have switched their tracing off without meaning to."""

from __future__ import annotations

import logging
from typing import Any

from agents.tracing import get_trace_provider


logger = logging.getLogger("lucidic")
_given: set[str] = set()


def processors() -> tuple[Any, ...] | None:
    """Return the SDK's processors; ``None`` where a provider of another kind does not show them (0.24)."""
    found = getattr(getattr(get_trace_provider(), "_multi_processor", None), "_processors", None)
    return found if isinstance(found, tuple) else None


def say_why_nothing_came(processor: Any) -> None:
    """Say, once in a process, why a run ended without a single callback."""
    registered = processors()
    if registered is not None and processor not in registered:
        _once(
            "removed",
            "lucidic: set_trace_processors() has removed lucidic's processor, so runs are no longer traced; "
            "use add_trace_processor() for other processors, or instrument again after it.",
        )
    else:
        _once(
            "disabled",
            "lucidic: the OpenAI Agents SDK's tracing is disabled, for all processors (set_tracing_disabled(), "
            "OPENAI_AGENTS_DISABLE_TRACING or RunConfig.tracing_disabled), so this run left no spans. To stop only "
            "the upload to OpenAI, call agents.set_trace_processors([]) before lucidic's processor is added.",
        )


def _once(what: str, message: str) -> None:
    if what not in _given:
        _given.add(what)
        logger.warning(message)
