"""Draw sessions, turns and trees for a terminal, a pipe or a file."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from rich.cells import chop_cells
from rich.console import Console, ConsoleOptions, Group, RenderableType, RenderResult
from rich.measure import Measurement
from rich.padding import Padding
from rich.table import Table
from rich.text import Text
from rich.tree import Tree

from lucidic._records import StoredSession, StoredSpan
from lucidic._view import _tree
from lucidic._view._content import failure, kind
from lucidic._view._lines import blocks, facts_of, folded, headline, outcome, score_lines
from lucidic._view._speech import model_words
from lucidic._view._words import clock, count, day_and_clock, duration, one_line, safe


STATE_STYLES = {"active": "green", "finished": "", "died": "red"}
_MAX_INDENT: Final = 8
"""Deeper rows stand below their parent without more indentation: 80 columns have no room for it."""
_ROOTLESS: Final = "no root span (running, killed or begun elsewhere)"


@dataclass(frozen=True, kw_only=True, slots=True)
class Look:
    """How much to draw."""

    full: bool = False
    """Whole content and every span, nothing folded."""
    errors: bool = False
    """Only what failed, with stack traces."""


def draw_session(session: StoredSession, turns: Sequence[_tree.Turn], look: Look = Look()) -> Group:
    """Return a session with the given turns, ready for a rich console."""
    shown = [turn for turn in turns if turn.errors] if look.errors else turns
    parts: list[RenderableType] = [draw_header(session)]
    for turn in shown:
        parts += [Text(), draw_turn(turn, look, rootless=_tree.why_rootless(session.state))]
    if not shown:
        nothing = "No errors." if look.errors and turns else "No spans yet."
        parts += [Text(), Text(nothing, "dim")]
    return Group(*parts)


def draw_title(session: StoredSession) -> Group:
    """Return name and id of a session in one or two lines."""
    title = Text().append("Session ", "dim")
    title.append(one_line(session.name or session.session_id), "bold")
    return Group(title, *([Text(safe(session.session_id), "dim")] if session.name else []))


def draw_header(session: StoredSession) -> Group:
    """Return name, id, state, sums and origin of a session in three or four lines."""
    about = [f"started {day_and_clock(session.started_ns)}", f"id from {one_line(session.source)}"]
    return Group(
        draw_title(session),
        draw_sums(session),
        Text(" · ".join([*about, *facts_of(session)]), "dim"),
        *(Text().append("score ", "bold blue").append(said) for said in score_lines(session)),
    )


def draw_sums(session: StoredSession) -> Text:
    """Return state, length and counts of a session in one line."""
    sums = [count(session.traces, "turn"), count(session.spans, "span"), count(session.total_tokens, "token")]
    if session.ended_ns is not None:
        sums.insert(0, duration(session.ended_ns - session.started_ns))
    line = Text().append(session.state, STATE_STYLES[session.state]).append(" · " + " · ".join(sums))
    if session.errors:
        line.append(" · ").append(count(session.errors, "failed span"), "bold red")
    return line


def draw_turn(turn: _tree.Turn, look: Look = Look(), *, rootless: str = _ROOTLESS) -> Group:
    """Return one turn: heading, the user's words, the answer and the tree; ``rootless`` says why it has no root."""
    parts: list[RenderableType] = [_heading(turn, rootless), Padding(_conversation(turn, look), (0, 0, 0, 2))]
    rows, steps = _rows(turn, look)
    said = {turn.answer, turn.user}
    for row in rows:
        tree = Tree(_label(row, look, said), guide_style="dim")
        _grow(tree, row, look, said, 1)
        parts.append(Padding(tree, (0, 0, 0, 2)))
    if steps and not look.errors:
        parts.append(Padding(_steps(steps), (0, 0, 0, 2)))
    return Group(*parts)


def _heading(turn: _tree.Turn, rootless: str) -> _Timed:
    line = Text().append(f"Turn {turn.number}", "bold")
    root = turn.root
    if root is not None and kind(root) == "CHAIN":
        line.append(f" {one_line(root.name, 40)}", "dim")
    figures = [clock(turn.start_ns)]
    if turn.tokens.total:
        figures.append(count(turn.tokens.total, "token"))
    line.append(" · " + " · ".join(figures), "dim")
    if turn.errors:
        line.append(" · ").append(count(turn.errors, "failed span"), "bold red")
    if root is None:
        line.append(" · ").append(rootless, "yellow")
    return _Timed(line, turn.end_ns - turn.start_ns)


def _conversation(turn: _tree.Turn, look: Look) -> Table:
    words = Table.grid(padding=(0, 1, 0, 0))
    words.add_column(no_wrap=True)
    words.add_column(overflow="fold")
    limit = None if look.full else 600
    if turn.user:
        words.add_row(Text("You", "bold green"), _prose(turn.user, limit))
    failed = turn.failure
    if failed is not None:
        words.add_row(Text("Error", "bold red"), Text(one_line(failed.headline, 600), "red"))
    elif turn.answer:
        words.add_row(Text("Answer", "bold blue"), _prose(turn.answer, limit))
    return words


def _prose(text: str, limit: int | None) -> Text:
    if limit is None or (len(text) <= limit and text.count("\n") < 8):
        return Text(safe(text.strip()), overflow="fold")
    start = "\n".join(text[:limit].splitlines()[:8]).rstrip()
    return Text(safe(start)).append(f" … ({len(text):,} characters, --full shows all)", "dim")


def _rows(turn: _tree.Turn, look: Look) -> tuple[tuple[_tree.Row, ...], tuple[str, ...]]:
    rows, steps = (_tree.unfolded(turn.top), ()) if look.full else _tree.fold(turn.top)
    return (_tree.with_errors(rows), ()) if look.errors else (rows, steps)


def _grow(tree: Tree, row: _tree.Row, look: Look, said: set[str], depth: int) -> None:
    for child in row.children:
        branch = tree.add(_label(child, look, said))
        _grow(branch if depth < _MAX_INDENT else tree, child, look, said, depth + 1)
    if row.steps and not look.errors:
        tree.add(_steps(row.steps))


def _label(row: _tree.Row, look: Look, said: set[str]) -> Group:
    """Return what stands beside a branch: headline and time, then outcome, error or whole content."""
    span = row.span
    parts: list[RenderableType] = [_Timed(headline(span, row.via), span.end_ns - span.start_ns)]
    if look.full:
        parts.append(_content_table(span, said))
    elif not look.errors and not _repeats(span, said) and (line := outcome(span)) is not None:
        shown = Text(no_wrap=True, overflow="ellipsis").append("→ ", "dim")
        parts.append(shown.append_text(line))
    failed = failure(span)
    if failed is not None and not _failed_below(row, failed.message):
        parts.append(Text(one_line(failed.headline, 600), "red", overflow="fold"))
        if failed.stacktrace and (look.errors or look.full):
            parts.append(_Verbatim(failed.stacktrace.rstrip()))
    return Group(*parts)


def _repeats(span: StoredSpan, said: set[str]) -> bool:
    """Tell whether a span only says what stands above it; remember what it says."""
    words = model_words(span) if kind(span) in {"LLM", "AGENT"} else ""
    if not words:
        return False
    if words in said:
        return True
    said.add(words)
    return False


def _failed_below(row: _tree.Row, message: str) -> bool:
    below = (node.span for child in row.node.children for node in child.walk())
    failures = (failed.message for span in below if (failed := failure(span)) is not None)
    return any(message in other or other in message for other in failures)


def _content_table(span: StoredSpan, said: set[str]) -> Table:
    table = Table.grid(padding=(0, 1, 0, 0))
    table.add_column(no_wrap=True, style="dim")
    table.add_column(overflow="fold")
    is_root = not span.parent_span_id
    for label, text in blocks(span):
        if is_root and text in said:
            continue
        table.add_row(Text(one_line(label, 20)), Text(safe(text.rstrip()), overflow="fold"))
    return table


def _steps(names: Sequence[str]) -> Text:
    return Text(folded(names), "dim", no_wrap=True, overflow="ellipsis")


class _Verbatim:
    """Lines that are broken only where they do not fit: a path of a stack trace stays one word."""

    def __init__(self, text: str) -> None:
        self._lines = safe(text).splitlines()

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        for line in self._lines:
            for part in chop_cells(line, options.max_width) or [""]:
                yield Text(part, "dim", no_wrap=True)

    def __rich_measure__(self, console: Console, options: ConsoleOptions) -> Measurement:
        return Measurement(1, options.max_width)


class _Timed:
    """A line with a time at the right edge. A table can do it too, at four times the cost for each span."""

    def __init__(self, line: Text, nanoseconds: int) -> None:
        self._line = line
        self._time = duration(nanoseconds)

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        width = options.max_width
        line = self._line.copy()
        line.truncate(max(width - len(self._time) - 1, 1), overflow="ellipsis", pad=True)
        yield Text.assemble(line, " ", self._time, no_wrap=True, overflow="crop")

    def __rich_measure__(self, console: Console, options: ConsoleOptions) -> Measurement:
        return Measurement(min(20, options.max_width), options.max_width)
