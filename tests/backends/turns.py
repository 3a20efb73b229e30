"""Small turns, made with the adapters' own kit, for what the frameworks' stories do not hold."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from lucidic.adapterkit import AdapterOptions, Message, io_attributes, llm_attributes, make_tracer


def hold_turn(
    question: str, answer: str, *, history: int = 0, more: Mapping[str, Any] | None = None, **options: Any
) -> None:
    """Run an agent that asks its model once."""
    tracer = make_tracer("turns", AdapterOptions(**options))
    agent = tracer.start("guide", "AGENT", attributes={**io_attributes(question), "agent.name": "guide"})
    messages = [Message("user", f"message {number}") for number in range(history)]
    call = tracer.start("chat", "LLM", parent=agent, attributes=io_attributes(question))
    said = llm_attributes(
        model="gpt-4o-mini",
        provider="openai",
        input_messages=[*messages, Message("user", question)],
        output_messages=[Message("assistant", answer)],
    )
    call.end(attributes={**said, **io_attributes(output=answer), **(more or {})})
    agent.end(attributes=io_attributes(output=answer))
