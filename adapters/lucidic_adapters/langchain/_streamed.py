"""What a stream gave its consumer: the output of a run that is left before its end."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar

from langchain_core.messages import AIMessage, BaseMessage, BaseMessageChunk

from lucidic_adapters.langchain._io import answer_words, messages_in, text_of
from lucidic_adapters.langchain._runs import GUARD


class Streamed:
    """What the consumer of a chain's stream was given so far, and whether it left."""

    __slots__ = ("given", "left")

    counts_in_failures: ClassVar[bool] = True
    """The part that came before an exception was an answer."""

    def __init__(self) -> None:
        self.given: list[Any] = []
        self.left = False
        """The consumer closed or dropped the stream before its end."""

    def note(self, chunk: Any) -> None:
        """Note what the consumer is given."""
        self.given.append(chunk)

    def output(self) -> Any:
        """Return the chunks added up as LangChain does it, or ``None``."""
        given = self.given
        if not given:
            return None
        if all(type(chunk) is str for chunk in given):
            return "".join(given)
        first, *others = given
        try:
            if isinstance(first, BaseMessageChunk):
                return first + others if others else first  # a list is taken, too
            for chunk in others:
                first = first + chunk
        except Exception:  # noqa: BLE001  # whatever users' classes raise; LangChain takes the last then
            return given[-1]
        return first


class StreamedGraph(Streamed):
    """The same of a graph, whose stream gives messages piece by piece, updates, whole states, or all of them."""

    __slots__ = ("message_id",)

    counts_in_failures = False  # a graph is invoked by its stream as well, and its steps are no answer

    def __init__(self) -> None:
        super().__init__()
        self.message_id: str | None = None

    def note(self, chunk: Any) -> None:
        """Keep the newest only: the pieces of a message, or an update or state."""
        with GUARD:
            given = _payload(chunk)
            if isinstance(given, AIMessage):
                if self.message_id == given.id and self.given:
                    self.given.append(given)
                    return
                self.message_id = given.id
            elif given is None or isinstance(given, BaseMessage):
                return
            else:
                self.message_id = None
            self.given = [given]

    def output(self) -> Any:
        """Return the words of the newest answer, else the newest update or state, or ``None``."""
        if not self.given:
            return None
        if isinstance(self.given[0], BaseMessage):
            return "".join(text_of(piece.content) for piece in self.given) or None
        newest = self.given[0]
        if not isinstance(newest, Mapping):
            return newest
        for state in (newest, *reversed([*newest.values()])):
            if messages_in(state) is not None:
                return answer_words(state)
        return newest


def _payload(chunk: Any) -> Any:
    """Return what a graph's chunk says: its mode and namespace, where given, stand in front of it."""
    if isinstance(chunk, dict) and chunk.keys() >= {"type", "data"}:
        chunk = chunk["data"]
    while isinstance(chunk, tuple) and chunk:
        chunk = chunk[0] if isinstance(chunk[0], BaseMessage) else chunk[-1]
    return chunk
