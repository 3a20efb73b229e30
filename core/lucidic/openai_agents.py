"""The OpenAI Agents SDK: ``LucidicTracingProcessor`` and ``instrument()``."""

from __future__ import annotations

from lucidic.errors import MissingDependencyError as _MissingDependencyError


try:
    from lucidic_adapters.openai_agents import LucidicTracingProcessor, instrument
except ModuleNotFoundError as _error:
    if (_error.name or "").partition(".")[0] != "agents":
        raise
    raise _MissingDependencyError("The OpenAI Agents SDK", "openai-agents") from _error


__all__ = ["LucidicTracingProcessor", "instrument"]
