"""The messages and tools of a run's requests as attributes: each request repeats the last one's, so they are kept."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Final

from openinference.semconv.trace import SpanAttributes
from pydantic_ai.messages import ModelMessage

from lucidic.adapterkit import Message, ToolSchema, message_attributes, tool_schema_attributes
from lucidic_adapters.pydantic_ai import _messages


_PREFIX: Final = SpanAttributes.LLM_INPUT_MESSAGES


class _Known:
    """A message that was translated before."""

    __slots__ = ("count", "facts", "message", "parts")

    def __init__(self, message: ModelMessage, facts: list[Message]) -> None:
        self.message = message
        self.parts = message.parts
        self.count = len(message.parts)
        self.facts = facts

    def is_still(self, message: ModelMessage) -> bool:
        return self.message is message and self.parts is message.parts and self.count == len(self.parts)


class _Input:
    """What one request was sent."""

    __slots__ = ("flat", "instructions", "known", "last", "position", "unplaced")

    def __init__(self, instructions: str | None, above: _Input | None = None) -> None:
        self.instructions = instructions
        self.unplaced: bool = bool(instructions) if above is None else above.unplaced
        """The instructions wait for a message that is not a system prompt."""
        self.known: list[_Known] = [] if above is None else list(above.known)
        self.flat: dict[str, Any] = {} if above is None else dict(above.flat)
        self.position: int = 0 if above is None else above.position
        self.last: Message | None = None if above is None else above.last

    def begins(self, messages: Sequence[ModelMessage], instructions: str | None) -> bool:
        """Tell whether a request begins with all that this one said."""
        return (
            instructions == self.instructions
            and len(messages) >= len(self.known)
            and all(map(_Known.is_still, self.known, messages))
        )

    def add(self, entry: _Known) -> None:
        facts = entry.facts
        if self.unplaced and (before := _systems_first(facts)) < len(facts):
            facts = [*facts[:before], Message("system", self.instructions), *facts[before:]]
            self.unplaced = False
        self.known.append(entry)
        self.flat.update(message_attributes(_PREFIX, facts, start=self.position))
        self.position += len(facts)
        if facts:
            self.last = facts[-1]

    def attributes(self) -> Mapping[str, Any]:
        if not self.unplaced:
            return self.flat
        waiting = message_attributes(_PREFIX, [Message("system", self.instructions)], start=self.position)
        return {**self.flat, **waiting}


class History:
    """Translates the input of one request after the other; a message is translated once.

    Like PydanticAI's own cache of message JSON it goes by the identity of the message and of its list
    of parts: code that changes a part in place is not seen (PydanticAI warns of it).
    """

    def __init__(self) -> None:
        self._last = _Input(None)

    def attributes(
        self, messages: Sequence[ModelMessage], instructions: str | None, *, binary: bool
    ) -> tuple[Mapping[str, Any], Message | None]:
        """Return the input's attributes, which are not to be changed, and its last message.

        Instructions come after the system prompts, as providers put them.
        """
        last = self._last
        goes_on = last.begins(messages, instructions)
        found = _Input(instructions, last if goes_on else None)
        seen = {} if goes_on else {id(entry.message): entry for entry in last.known}
        for message in messages[len(found.known) :]:
            entry = seen.get(id(message))
            if entry is None or not entry.is_still(message):
                entry = _Known(message, _messages.facts_of(message, binary=binary))
            found.add(entry)
        self._last = found  # whole, at the end: threads may ask at the same time
        return found.attributes(), found.last


class OfferedTools:
    """Describes the tools offered by one request after the other; the same ones are described once."""

    def __init__(self) -> None:
        self._last: tuple[list[ToolSchema], Mapping[str, Any]] = ([], {})

    def attributes(self, tools: list[ToolSchema]) -> Mapping[str, Any]:
        """Return the tools' attributes, which are not to be changed."""
        known, flat = self._last
        if tools != known:
            flat = tool_schema_attributes(tools)
            self._last = (tools, flat)
        return flat


def _systems_first(facts: list[Message]) -> int:
    return next((place for place, fact in enumerate(facts) if fact.role != "system"), len(facts))
