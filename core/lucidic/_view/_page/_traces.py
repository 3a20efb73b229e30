"""The turns of sessions, read one at a time and remembered while they do not change."""

from __future__ import annotations

import json
import threading
from collections import OrderedDict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Final

from lucidic._records import StoredSpan, StoredTrace
from lucidic._view import _tree
from lucidic._view._lines import kind_word
from lucidic._view._page._addresses import SpanFilters
from lucidic._view._reader import Reader


_REMEMBERED_SPANS: Final = 20_000


@dataclass(frozen=True, slots=True)
class Drawn:
    """A turn and the lines of its tree."""

    turn: _tree.Turn
    lines: tuple[_tree.Line, ...]
    every: bool = False
    """Whether each span has a line of its own; else steps that say nothing are folded."""

    def line_of(self, span_id: str) -> int | None:
        """Return which line shows a span, or None if it is folded away."""
        found = (n for n, line in enumerate(self.lines) if line.row and line.row.span.span_id == span_id)
        return next(found, None)


class Traces:
    """Reads turns. Safe to use from several threads.

    Args:
        reader: The store.
    """

    def __init__(self, reader: Reader) -> None:
        self._reader = reader
        self._known: OrderedDict[tuple[str, StoredTrace, bool], Drawn] = OrderedDict()
        self._spans = 0
        self._lock = threading.Lock()

    def turn(self, session_id: str, number: int, trace: StoredTrace, *, every: bool = False) -> Drawn:
        """Return the turn of a trace; ``number`` counts from 1."""
        key = session_id, trace, every
        with self._lock:
            if key in self._known:
                self._known.move_to_end(key)
                return self._known[key]
        (turn,) = _tree.turns(self._reader.spans(session_id, trace_id=trace.trace_id))
        turn.number = number
        rows, steps = (_tree.unfolded(turn.top), ()) if every else _tree.fold(turn.top)
        drawn = Drawn(turn, tuple(_tree.flat(rows, steps)), every)
        with self._lock:
            if key not in self._known:
                self._known[key] = drawn
                self._spans += len(turn.spans)
            while self._spans > _REMEMBERED_SPANS and len(self._known) > 1:
                _, old = self._known.popitem(last=False)
                self._spans -= len(old.turn.spans)
        return drawn

    def find(
        self, session_id: str, traces: Sequence[StoredTrace], wanted: SpanFilters
    ) -> Iterator[tuple[_tree.Turn, StoredSpan]]:
        """Yield the spans that match, in the order of their starts."""
        for number, trace in enumerate(traces, 1):
            if wanted.failed and not trace.errors:
                continue
            turn = self.turn(session_id, number, trace).turn
            yield from ((turn, span) for span in turn.spans if _matches(span, wanted))


def _matches(span: StoredSpan, wanted: SpanFilters) -> bool:
    if wanted.failed and span.status != "ERROR":
        return False
    if wanted.kind and kind_word(span) != wanted.kind:
        return False
    return not wanted.q or wanted.q.casefold() in _texts(span).casefold()


def _texts(span: StoredSpan) -> str:
    events = [dict(event.attributes) for event in span.events]
    recorded = json.dumps([dict(span.attributes), events], ensure_ascii=False)
    # Texts of attributes may be JSON in JSON; quotation marks are found as people type them.
    return "\n".join((span.name, span.span_id, span.status_message, recorded.replace('\\"', '"')))
