"""The OpenAI Agents SDK: a tracing processor, and ``instrument()`` for what processors are not told."""

from __future__ import annotations

from lucidic_adapters.openai_agents._processor import LucidicTracingProcessor
from lucidic_adapters.openai_agents._runner import instrument


__all__ = ["LucidicTracingProcessor", "instrument"]
