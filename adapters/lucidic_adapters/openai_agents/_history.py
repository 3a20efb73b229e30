"""The messages of a call, most of which are those of the call before: each is translated once in a run."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any, Final

from openinference.semconv.trace import SpanAttributes

from lucidic.adapterkit import Message, message_attributes


_PREFIX: Final = SpanAttributes.LLM_INPUT_MESSAGES


class Heard:
    """What a model was sent: the messages, and the attributes that tell of them."""

    __slots__ = ("attributes", "messages")

    def __init__(self) -> None:
        self.messages: list[Message] = []
        self.attributes: dict[str, Any] = {}

    def add(self, messages: Iterable[Message]) -> None:
        """Add messages that no other call repeats."""
        new = list(messages)
        self.attributes |= message_attributes(_PREFIX, new, start=len(self.messages))
        self.messages += new


class History:
    """The items that the last call of a run was sent, and what was made of them."""

    __slots__ = ("_known",)

    def __init__(self) -> None:
        self._known: list[tuple[object, int, list[Message], dict[str, Any]]] = []

    def read(
        self, heard: Heard, items: Iterable[object], translate: Callable[[object], list[Message]]
    ) -> None:
        """Add the messages of ``items`` to ``heard``; those in the place they had before are not made again."""
        known = self._known
        for position, item in enumerate(items):
            start = len(heard.messages)
            if position < len(known):
                before, was_at, messages, attributes = known[position]
                if was_at == start and before == item:
                    heard.messages += messages
                    heard.attributes |= attributes
                    continue
            messages = translate(item)
            attributes = message_attributes(_PREFIX, messages, start=start)
            heard.messages += messages
            heard.attributes |= attributes
            known[position : position + 1] = [(_kept(item), start, messages, attributes)]


_NEVER: Final = object()


def _kept(item: object) -> object:
    """Copy an item as deep as its text lies: filters may change the run's own items where they are."""
    if type(item) is not dict:
        return _NEVER
    return {
        key: [dict(part) if type(part) is dict else part for part in value] if type(value) is list else value
        for key, value in item.items()
    }
