"""LangChain: ``LucidicHandler`` and ``instrument()``."""

from __future__ import annotations

from lucidic.errors import MissingDependencyError as _MissingDependencyError


try:
    import langchain_core as _framework  # noqa: F401  # only to name the missing extra
except ImportError as _error:
    raise _MissingDependencyError("LangChain", "langchain") from _error

from lucidic_adapters.langchain import LucidicHandler, instrument


__all__ = ["LucidicHandler", "instrument"]
