"""PydanticAI's places for an instrumentation of the whole process: one each for agents, embedders and images."""

from __future__ import annotations

from typing import Any, Final

from pydantic_ai import Agent, Embedder
from pydantic_ai.models.instrumented import InstrumentationSettings

from lucidic_adapters.pydantic_ai._both import beside, theirs_of
from lucidic_adapters.pydantic_ai._settings import LucidicSettings


try:
    from pydantic_ai.images import ImageGenerator
except ImportError:  # 1.x makes no images
    OWNERS: tuple[type[Any], ...] = (Agent, Embedder)
else:
    OWNERS = (Agent, Embedder, ImageGenerator)

everywhere: Final[list[LucidicSettings]] = []
"""The settings of ``instrument()``, while they hold for the whole process."""

_given: Final[dict[type, Any]] = {}
"""What others put in each place, before us or since."""
_ours: Final[dict[type, Any]] = {}
"""What we put there."""


def take(owner: type[Any], value: InstrumentationSettings | bool) -> InstrumentationSettings | bool:
    """Return what goes into the place when somebody else puts ``value`` there: both, or nothing if that is wanted."""
    if everywhere and value and value is not _ours.get(owner):
        _given[owner] = _others(value)
        value = _ours[owner] = _with_ours(owner, _given[owner])
    return value


def fill() -> None:
    """Put into each place what belongs there now: ours, beside what others put there."""
    for owner in OWNERS:
        now = getattr(owner, "_instrument_default", False)
        if owner not in _ours or now is not _ours[owner]:
            _given[owner] = _others(now)
        value = _given[owner]
        if everywhere:
            value = _ours[owner] = _with_ours(owner, value)
        else:
            _ours.pop(owner, None)
            del _given[owner]
        owner.instrument_all(value)


def _others(value: InstrumentationSettings | bool) -> InstrumentationSettings | bool:
    """Return what somebody else means by a value: some put back what they once found there, which was ours."""
    return False if any(value is made for made in everywhere) else theirs_of(value)


def _with_ours(owner: type[Any], value: InstrumentationSettings | bool) -> InstrumentationSettings | bool:
    ours = everywhere[-1]
    if not value:
        return ours
    if owner is Embedder or isinstance(value, LucidicSettings):
        return value  # our hook traces embeddings whoever else does
    settings = InstrumentationSettings() if value is True else value
    return beside(settings, LucidicSettings(ours.options, replaced=settings))
