"""More than one processor of ours: ``instrument()`` and one that the user adds, say. One run is one tree."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final, TypeVar
from weakref import WeakSet

from lucidic_adapters.openai_agents._hints import processors


_Processor = TypeVar("_Processor", bound=Any)
_made: Final[WeakSet[Any]] = WeakSet()


def made(processor: object) -> None:
    """Remember a processor, as long as it lives."""
    _made.add(processor)


def siblings(processor: object) -> list[Any]:
    """Return the other processors of ours that the SDK calls."""
    registered = processors() or ()
    others = [other for other in list(_made) if other is not processor]
    return [item for item in registered if any(item is other for other in others)]


def traced_by_another(processor: _Processor, has: Callable[[_Processor], bool]) -> bool:
    """Tell whether another processor of ours makes the spans, in the same provider.

    The one that is called first does; but one that follows everything leaves runs to one that was added by hand,
    whose options are meant for them.
    """
    if len(_made) == 1:
        return False
    others = [other for other in siblings(processor) if other.provider() is processor.provider()]
    if any(has(other) for other in others):
        return True
    return processor.gives_way and any(not (other.gives_way or other.is_leaving) for other in others)
