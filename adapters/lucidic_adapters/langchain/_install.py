"""``instrument()``: trace every LangChain and LangGraph run of the process, no callbacks passed."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final, cast

from langchain_core.tracers.context import register_configure_hook

from lucidic_adapters.langchain import _bridge
from lucidic_adapters.langchain._handler import LucidicHandler


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
