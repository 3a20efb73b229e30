"""The messages and tools of a run's requests as attributes: each request repeats the last one's, so they are kept."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import partial
from operator import is_
from typing import Any, Final
from weakref import ref

from openinference.semconv.trace import SpanAttributes
from pydantic_ai.messages import ModelMessage

from lucidic.adapterkit import Message, ToolSchema, message_attributes, tool_schema_attributes
from lucidic_adapters.pydantic_ai import _messages


_PREFIX: Final = SpanAttributes.LLM_INPUT_MESSAGES


class _Known:
    """A message that was translated before, and its attributes at the place where it stood last."""

    __slots__ = ("count", "facts", "flat", "message", "parts")

    def __init__(self, message: ModelMessage, facts: list[Message]) -> None:
        self.message = ref(message, partial(_forget, id(message)))
        self.parts = message.parts
        self.count = len(message.parts)
        self.facts = facts
        self.flat: tuple[int, Mapping[str, Any]] = (-1, {})

    def is_still(self, message: ModelMessage) -> bool:
        return self.message() is message and self.parts is message.parts and self.count == len(self.parts)

    def attributes(self, start: int) -> Mapping[str, Any]:
        place, flat = self.flat
        if place != start:
            flat = message_attributes(_PREFIX, self.facts, start=start)
            self.flat = (start, flat)
        return flat


_known: Final[dict[int, tuple[_Known, list[object]]]] = {}
"""Messages that live, by id, and what their parts say: the next turn begins with those of the turns before it."""


def _forget(key: int, _: object) -> None:
    _known.pop(key, None)


def _translated(message: ModelMessage, *, binary: bool) -> _Known:
    """Translate a message that is new to a run; programs may have shortened it in place since another run.

    Only plain text is kept between runs: it is replaced when it changes, and an image would be held twice.
    """
    said = [getattr(part, "content", None) or getattr(part, "args", None) for part in message.parts]
    found = _known.get(id(message))
    if found is not None and found[0].is_still(message) and all(map(is_, found[1], said)):
        return found[0]
    entry = _Known(message, _messages.facts_of(message, binary=binary))
    if all(content is None or isinstance(content, str) for content in said):
        _known[id(message)] = (entry, said)
    else:
        _known.pop(id(message), None)
    return entry


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
        self.known.append(entry)
        if self.unplaced and (before := _systems_first(facts)) < len(facts):
            facts = [*facts[:before], Message("system", self.instructions), *facts[before:]]
            self.unplaced = False
            self.flat.update(message_attributes(_PREFIX, facts, start=self.position))
        else:
            self.flat.update(entry.attributes(self.position))
        self.position += len(facts)
        if facts:
            self.last = facts[-1]

    def attributes(self) -> Mapping[str, Any]:
        if not self.unplaced:
            return self.flat
        waiting = message_attributes(_PREFIX, [Message("system", self.instructions)], start=self.position)
        return {**self.flat, **waiting}


class History:
    """Translates the input of one request after the other; a message is translated once in its life.

    Within a run it goes by the identity of the message and of its list of parts, like PydanticAI's own cache of
    message JSON: code that changes a part in place is not seen there (PydanticAI warns of it).
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
        found = _Input(instructions, last if last.begins(messages, instructions) else None)
        for message in messages[len(found.known) :]:
            found.add(_translated(message, binary=binary))
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
