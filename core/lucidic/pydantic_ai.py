"""PydanticAI: ``LucidicInstrumentation`` and ``instrument()``."""

from __future__ import annotations

from lucidic.errors import MissingDependencyError as _MissingDependencyError


try:
    import pydantic_ai as _framework  # noqa: F401  # only to name the missing extra
except ImportError as _error:
    raise _MissingDependencyError("PydanticAI", "pydantic-ai") from _error

from lucidic_adapters.pydantic_ai import LucidicInstrumentation, instrument


__all__ = ["LucidicInstrumentation", "instrument"]
