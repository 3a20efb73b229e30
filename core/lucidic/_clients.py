"""The providers ``openai`` and ``anthropic``: OpenInference's instrumentors, into our provider."""

from __future__ import annotations

from collections.abc import Callable
from importlib import import_module
from typing import Any, Final

from lucidic._runtime import runtime
from lucidic.errors import MissingDependencyError


_by_us: Final[set[str]] = set()


def instruments_client(name: str) -> bool:
    """Tell whether the spans of a client, ``"openai"`` or ``"anthropic"``, are made because lucidic was asked to."""
    return name in _by_us


def instrument_openai(**options: Any) -> Callable[[], None]:
    """Trace OpenAI's client; return the function that undoes it.

    Raises:
        MissingDependencyError: The client or its instrumentor is not installed.

    """
    return _instrument("openai", "OpenAIInstrumentor", "OpenAI's client or its instrumentor", options)


def instrument_anthropic(**options: Any) -> Callable[[], None]:
    """Trace Anthropic's client; return the function that undoes it.

    Raises:
        MissingDependencyError: The client or its instrumentor is not installed.

    """
    return _instrument(
        "anthropic", "AnthropicInstrumentor", "Anthropic's client or its instrumentor", options
    )


def _instrument(client: str, instrumentor: str, what: str, options: dict[str, Any]) -> Callable[[], None]:
    try:
        import_module(client)
        module = import_module(f"openinference.instrumentation.{client}")
    except ModuleNotFoundError as error:
        raise MissingDependencyError(what, client) from error
    made = getattr(module, instrumentor)()
    if made.is_instrumented_by_opentelemetry:
        return _nothing  # the program did it itself, and its spans pass our processor all the same
    made.instrument(tracer_provider=runtime().provider(options.pop("tracer_provider", None)), **options)
    _by_us.add(client)

    def undo() -> None:
        _by_us.discard(client)
        made.uninstrument()

    return undo


def _nothing() -> None:
    """Undo nothing."""
