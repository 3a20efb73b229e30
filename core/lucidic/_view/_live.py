"""Draw the tree of a session while its spans arrive."""

from __future__ import annotations

from collections.abc import Iterable
from types import TracebackType
from typing import Final

from rich.console import Console, Group
from rich.live import Live
from rich.text import Text
from typing_extensions import Self

from lucidic._records import StoredSpan
from lucidic._score_span import SCOPE
from lucidic._view import _tree
from lucidic._view._content import failure, kind
from lucidic._view._lines import headline, outcome
from lucidic._view._speech import model_words
from lucidic._view._terminal import draw_turn
from lucidic._view._words import clock, count, duration, one_line


_LINE: Final = 160
_MAX_OPEN: Final = 3
"""How many unfinished turns are redrawn at a time; more would not fit a terminal."""


class LiveTree:
    """Show spans as they finish: a growing tree in a terminal, plain lines everywhere else.

    A turn whose root span has finished is printed for good; the unfinished ones are redrawn below.
    Leaving the block prints what is left, with whatever spans it has. Not thread-safe: feed it from
    the thread that entered it.

    Args:
        console: Where to draw; by default standard output.
        known: Spans of earlier turns, which are not drawn and only counted, so that turns have their numbers.
    """

    def __init__(self, console: Console | None = None, *, known: Iterable[StoredSpan] = ()) -> None:
        self._console = console or Console(soft_wrap=False)
        self._spans: dict[str, dict[str, StoredSpan]] = {}
        self._numbers: dict[str, int] = {}
        self._closed: set[str] = set()
        self._scores: set[str] = set()
        self._live: Live | None = None
        known = list(known)
        self._scores.update(span.span_id for span in known if span.scope_name == SCOPE)
        for turn in _tree.turns(known):
            self._numbers[turn.trace_id] = turn.number
            self._spans[turn.trace_id] = {span.span_id: span for span in turn.spans}
            if turn.root is not None:
                self._closed.add(turn.trace_id)

    def __enter__(self) -> Self:
        if self._console.is_terminal and not self._console.is_dumb_terminal:
            self._live = Live(console=self._console, auto_refresh=False, transient=True)
            self._live.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        live, self._live = self._live, None
        if live is not None:
            live.stop()
            for turn in self._open_turns():
                self._console.print(Group(draw_turn(turn), Text()))

    def add(self, *spans: StoredSpan) -> None:
        """Take in finished spans, in any order; a span seen before changes nothing."""
        closed = []
        for span in sorted(spans, key=lambda span: span.end_ns):
            if span.scope_name == SCOPE:
                self._print_score(span)
                continue
            seen = self._spans.setdefault(span.trace_id, {})
            if span.span_id in seen:
                continue
            seen[span.span_id] = span
            if self._live is None:
                self._print_line(span)
            elif not span.parent_span_id:
                closed.append(span.trace_id)
        if self._live is not None:
            self._redraw(self._live, closed)

    def _redraw(self, live: Live, closed: list[str]) -> None:
        """Redraw the unfinished turns, and print the turns that are ``closed`` now above them."""
        self._closed.update(closed)
        open_turns = [draw_turn(turn, rootless="running") for turn in self._open_turns()[-_MAX_OPEN:]]
        # Refreshed first: what is printed above a live region draws the region again as it was last refreshed.
        live.update(Group(*open_turns), refresh=True)
        for trace_id in dict.fromkeys(closed):
            self._console.print(Group(draw_turn(self._turn(trace_id)), Text()))

    def _open_turns(self) -> list[_tree.Turn]:
        return [self._turn(trace_id) for trace_id in self._spans if trace_id not in self._closed]

    def _turn(self, trace_id: str) -> _tree.Turn:
        turn = _tree.turns(self._spans[trace_id].values())[0]
        turn.number = self._numbers.setdefault(trace_id, len(self._numbers) + 1)
        return turn

    def _print_line(self, span: StoredSpan) -> None:
        """Print one line for a finished span; the last one of a turn sums it up."""
        is_step = kind(span) == "CHAIN" and span.parent_span_id
        if is_step:
            return
        is_new = span.trace_id not in self._numbers
        turn = self._turn(span.trace_id)
        name = f"Turn {turn.number}"
        if is_new:
            words = one_line(turn.user, _LINE)
            self._say(Text(f"{name} · {clock(turn.start_ns)}"), words and f" · {words}")
        if span.parent_span_id:
            self._say(Text("  ").append_text(headline(span)), f" · {_time(span)}", _end(span))
        else:
            self._say(Text(f"{name} · {_time(span)} · {count(turn.tokens.total, 'token')}"), _result(turn))

    def _print_score(self, span: StoredSpan) -> None:
        """Print a line for a score, which may come long after its turn has been printed for good."""
        if span.span_id not in self._scores:
            self._scores.add(span.span_id)
            self._say(headline(span), _end(span))

    def _say(self, line: Text, *more: str) -> None:
        for text in more:
            line.append(text)
        line.no_wrap, line.overflow = True, "ignore"
        self._console.print(line, soft_wrap=True)


def _time(span: StoredSpan) -> str:
    return duration(span.end_ns - span.start_ns)


def _end(span: StoredSpan) -> str:
    """Return how a span ended, as the tail of its line."""
    failed = failure(span)
    if failed is not None:
        return f" · {one_line(failed.headline, _LINE)}"
    result = outcome(span)
    return f" → {one_line(result.plain, _LINE)}" if result is not None else ""


def _result(turn: _tree.Turn) -> str:
    """Return how a turn ended, unless the line of a model call has said it."""
    if (failed := turn.failure) is not None:
        return f" · failed: {one_line(failed.headline, _LINE)}"
    answer = turn.answer
    if not answer or any(kind(span) == "LLM" and model_words(span) == answer for span in turn.spans):
        return ""
    return f" · {one_line(answer, _LINE)}"
