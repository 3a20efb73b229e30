"""PydanticAI: ``LucidicInstrumentation`` and ``instrument()``."""

from __future__ import annotations

from lucidic.errors import MissingDependencyError as _MissingDependencyError


try:
    from lucidic_adapters.pydantic_ai import LucidicInstrumentation, instrument
except ModuleNotFoundError as _error:
    if (_error.name or "").partition(".")[0] != "pydantic_ai":
        raise
    raise _MissingDependencyError("PydanticAI", "pydantic-ai") from _error


__all__ = ["LucidicInstrumentation", "instrument"]
