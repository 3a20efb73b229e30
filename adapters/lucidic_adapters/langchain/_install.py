"""``instrument()``: trace every LangChain and LangGraph run of the process, no callbacks passed."""

from __future__ import annotations

import sys
from collections.abc import Callable
from typing import Any, Final, cast

from langchain_core.callbacks import manager
from langchain_core.tracers.context import register_configure_hook
from opentelemetry import context as otel_context

from lucidic.adapterkit import traces
from lucidic_adapters.langchain import _bridge
from lucidic_adapters.langchain._handler import LucidicHandler
from lucidic_adapters.langchain._runs import RUN_KEY


_DEEPEST: Final = 16
"""How far another tracer's callback is from the code of LangChain that calls it."""


class _Hook:
    """What LangChain asks for the handler whenever it configures callbacks.

    It stands where a ``ContextVar`` is expected (only ``get`` is called): threads that do not copy
    the context see it too, and it can be switched off again everywhere at once.
    """

    def __init__(self) -> None:
        self.handler: LucidicHandler | None = None

    def get(self) -> LucidicHandler | None:
        """Return the handler of this process, while instrumented."""
        return self.handler


_hook: Final = _Hook()
_registered = False


def instrument(**options: Any) -> Callable[[], None]:
    """Trace every run of this process, and return the function that stops it.

    A run that is also given a ``LucidicHandler`` explicitly is traced by that one alone. A second
    call replaces the first one's handler.

    Args:
        **options: The options of ``LucidicHandler``.

    """
    global _registered
    handler = LucidicHandler(**options)
    _hook.handler = handler
    _bridge.lifecycle.handler = handler
    if not _registered:
        register_configure_hook(cast("Any", _hook), inheritable=True, handle_class=LucidicHandler)
        _registered = True

    def undo() -> None:
        if _hook.handler is handler:
            _hook.handler = _bridge.lifecycle.handler = None

    return undo


def _sees_this() -> bool:
    """Tell whether the run that LangChain tells another tracer of at this moment is told to us as well."""
    if _hook.handler is not None or otel_context.get_current().get(RUN_KEY) is not None:
        return True
    frame = sys._getframe(1).f_back
    for _ in range(_DEEPEST):
        if frame is None:
            return False
        if frame.f_globals.get("__name__") == manager.__name__ and "handlers" in frame.f_locals:
            return any(isinstance(item, LucidicHandler) for item in frame.f_locals["handlers"])
        frame = frame.f_back
    return False


traces("langchain", _sees_this)
