"""The adapter for PydanticAI, 1.56 and later."""

from __future__ import annotations

from lucidic_adapters.pydantic_ai._instrument import LucidicInstrumentation, instrument


__all__ = ["LucidicInstrumentation", "instrument"]
