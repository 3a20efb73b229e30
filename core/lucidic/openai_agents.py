"""The OpenAI Agents SDK: ``LucidicTracingProcessor`` and ``instrument()``."""

from __future__ import annotations

from lucidic.errors import MissingDependencyError as _MissingDependencyError


try:
    import agents as _framework  # noqa: F401  # only to name the missing extra
except ImportError as _error:
    raise _MissingDependencyError("The OpenAI Agents SDK", "openai-agents") from _error

from lucidic_adapters.openai_agents import LucidicTracingProcessor, instrument


__all__ = ["LucidicTracingProcessor", "instrument"]
