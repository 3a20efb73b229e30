"""The adapter for LangChain and LangGraph."""

from __future__ import annotations

from lucidic_adapters.langchain._handler import LucidicHandler
from lucidic_adapters.langchain._install import instrument


__all__ = ["LucidicHandler", "instrument"]
