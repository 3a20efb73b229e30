"""LangChain: ``LucidicHandler`` and ``instrument()``."""

from __future__ import annotations

from lucidic.errors import MissingDependencyError as _MissingDependencyError


try:
    from lucidic_adapters.langchain import LucidicHandler, instrument
except ModuleNotFoundError as _error:
    if (_error.name or "").partition(".")[0] != "langchain_core":
        raise
    raise _MissingDependencyError("LangChain", "langchain") from _error


__all__ = ["LucidicHandler", "instrument"]
