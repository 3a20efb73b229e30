"""The messages of a run's requests as attributes: each request repeats those before it, so they are kept."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final

from openinference.semconv.trace import SpanAttributes
from pydantic_ai.messages import ModelMessage

from lucidic.adapterkit import Message, message_attributes
from lucidic_adapters.pydantic_ai import _messages


_PREFIX: Final = SpanAttributes.LLM_INPUT_MESSAGES


class _Known:
    """A message that was translated before, and its attributes by the place at which it stood."""

    __slots__ = ("count", "facts", "flat", "message", "parts")

    def __init__(self, message: ModelMessage, facts: list[Message]) -> None:
        self.message = message
        self.parts = message.parts
        self.count = len(message.parts)
        self.facts = facts
        self.flat: dict[int, dict[str, Any]] = {}

    def is_still(self, message: ModelMessage) -> bool:
        return self.message is message and self.parts is message.parts and self.count == len(message.parts)

    def attributes(self, start: int) -> dict[str, Any]:
        found = self.flat.get(start)
        if found is None:
            found = dict(message_attributes(_PREFIX, self.facts, start=start))
            self.flat = {start: found}
        return found


class History:
    """Translates the input of one request after the other; a message is translated once.

    Like PydanticAI's own cache of message JSON it goes by the identity of the message and of its list
    of parts: code that changes a part in place is not seen (PydanticAI warns of it).
    """

    def __init__(self) -> None:
        self._known: dict[int, _Known] = {}

    def attributes(
        self, messages: Sequence[ModelMessage], instructions: str | None, *, binary: bool
    ) -> tuple[dict[str, Any], Message | None]:
        """Return the input's attributes and its last message.

        Instructions come after the system prompts, as providers put them.
        """
        known: dict[int, _Known] = {}
        found: dict[str, Any] = {}
        last: Message | None = None
        position = 0
        for message in messages:
            entry = self._known.get(id(message))
            if entry is None or not entry.is_still(message):
                entry = _Known(message, _messages.facts_of(message, binary=binary))
            known[id(message)] = entry
            if instructions and (before := _systems_first(entry.facts)) < len(entry.facts):
                head = [*entry.facts[:before], Message("system", instructions)]
                found |= message_attributes(_PREFIX, head, start=position)
                position += len(head)
                found |= message_attributes(_PREFIX, entry.facts[before:], start=position)
                position += len(entry.facts) - before
                instructions = None
            else:
                found |= entry.attributes(position)
                position += len(entry.facts)
            last = entry.facts[-1] if entry.facts else last
        if instructions:
            found |= message_attributes(_PREFIX, [Message("system", instructions)], start=position)
        self._known = known
        return found, last


def _systems_first(facts: list[Message]) -> int:
    return next((place for place, fact in enumerate(facts) if fact.role != "system"), len(facts))
