"""Draw sessions as HTML that needs nothing else: no script, no request, no identifier that could clash.

All text of a session passes through :func:`escaped`; nothing of it is ever interpreted.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from html import escape
from typing import Final, TypeAlias

from lucidic._records import SessionState, StoredSession, StoredSpan
from lucidic._view import _tree
from lucidic._view._content import failure
from lucidic._view._html_style import STYLE
from lucidic._view._lines import blocks, facts_of, folded, headline, kind_word, outcome, score_lines
from lucidic._view._words import clock, count, day_and_clock, duration, one_line, safe


_BLOCK_LIMIT: Final = 20_000
"""Characters of one text; a page that holds whole documents makes a browser crawl."""
_CONTENT_LIMIT: Final = 1_500_000
"""Characters of content in one drawing."""
_ROW_LIMIT: Final = 1_500
"""Rows in one drawing."""
_OPEN_TURNS: Final = 20
"""More turns than these begin folded."""

Cut: TypeAlias = Callable[[str], str]
"""Escapes a text, and cuts it where it is too long."""


def escaped(text: str) -> str:
    """Return foreign text so that a browser shows it and does nothing else with it."""
    return escape(safe(text), quote=True)


def cut_at(text: str, limit: int) -> str:
    """Return a text escaped, with a note where it was cut."""
    if len(text) <= limit:
        return escaped(text)
    return f'{escaped(text[:limit])} <em class="lc-note">… {len(text) - limit:,} more characters</em>'


class Budget:
    """How much one drawing may still hold; by default so much that a notebook can keep it."""

    def __init__(self, characters: int = _CONTENT_LIMIT, rows: int = _ROW_LIMIT) -> None:
        self._characters = characters
        self.rows = rows

    def cut(self, text: str) -> str:
        """Return the text escaped, with a note where it was cut."""
        limit = min(_BLOCK_LIMIT, max(self._characters, 200))
        self._characters -= min(len(text), limit)
        return cut_at(text, limit)


def draw_session(session: StoredSession, turns: Sequence[_tree.Turn], budget: Budget | None = None) -> str:
    """Return a session as one block: header, then each turn as a conversation with its tree and waterfall.

    Where there is too much of it, the newest turns have their trees.
    """
    budget = budget or Budget()
    is_open = len(turns) <= _OPEN_TURNS
    drawn = [draw_turn(turn, session.state, budget, is_open=is_open) for turn in reversed(turns)]
    body = "".join(reversed(drawn)) or '<p class="lc-note">No spans yet.</p>'
    label = escaped(session.name or session.session_id)
    head = draw_header(session)
    return f'<div class="lucidic" role="region" aria-label="Session {label}"><style>{STYLE}</style>{head}{body}</div>'


def draw_file(sessions: Sequence[tuple[StoredSession, Sequence[_tree.Turn]]]) -> str:
    """Return sessions as one document that needs nothing else."""
    names = [session.name or session.session_id for session, _ in sessions]
    title = ", ".join(names[:3]) + (", …" if len(names) > 3 else "")
    body = "".join(draw_session(session, turns, Budget(20_000_000, 20_000)) for session, turns in sessions)
    return (
        f'<!doctype html><html lang="en"><head><meta charset="utf-8"><title>{escaped(title)}</title>'
        '<meta name="viewport" content="width=device-width, initial-scale=1">'
        "<meta http-equiv=\"Content-Security-Policy\" content=\"default-src 'none'; style-src 'unsafe-inline'\">"
        f"<style>{STYLE}</style></head>"
        f'<body class="lc-page"><main><h1 class="lc-unseen">{escaped(title)}</h1>{body}</main></body></html>'
    )


def draw_header(session: StoredSession) -> str:
    """Return name, id, state and sums of a session."""
    title = escaped(session.name or session.session_id)
    sums = [count(session.traces, "turn"), count(session.spans, "span"), count(session.total_tokens, "token")]
    if session.ended_ns is not None:
        sums.insert(0, duration(session.ended_ns - session.started_ns))
    facts = [f"id {session.session_id}", f"started {day_and_clock(session.started_ns)}", *about(session)]
    scores = "".join(f"<p><b>score</b> {escaped(said)}</p>" for said in score_lines(session))
    return (
        f'<header><h2>{title} <span class="lc-state lc-{session.state}">{session.state}</span></h2>'
        f"<p>{' · '.join(sums)}{draw_failed(session.errors)}</p>"
        f'<p class="lc-note">{escaped(" · ".join(facts))}</p>{scores}</header>'
    )


def about(session: StoredSession) -> Iterator[str]:
    """Yield what is known of a session besides its figures."""
    yield f"id from {session.source}"
    yield from facts_of(session)


def draw_failed(errors: int) -> str:
    """Return how many spans failed; nothing where none did."""
    return f' · <b class="lc-bad">{count(errors, "failed span")}</b>' if errors else ""


def draw_turn(turn: _tree.Turn, state: SessionState, budget: Budget, *, is_open: bool = True) -> str:
    """Return one turn: the words, and below them tree and waterfall, each row with its content folded."""
    lines, scale = [], Scale(turn)
    for item in _tree.flat(*_tree.fold(turn.top)):
        if budget.rows <= 0:
            lines.append('<p class="lc-note">… more than fits here; lucidic view shows all of it.</p>')
            break
        budget.rows -= 1
        lines.append(_row(item, scale, budget.cut))
    return (
        f'<details class="lc-turn"{" open" if is_open else ""}><summary>{draw_heading(turn, state)}</summary>'
        f'{draw_words(turn, budget.cut)}<div class="lc-tree">{"".join(lines)}</div></details>'
    )


def draw_heading(turn: _tree.Turn, state: SessionState) -> str:
    """Return the number and the figures of a turn."""
    figures = [clock(turn.start_ns), duration(turn.end_ns - turn.start_ns)]
    if turn.tokens.total:
        figures.append(count(turn.tokens.total, "token"))
    why = "" if turn.root is not None else f' · <b class="lc-warn">{_tree.why_rootless(state)}</b>'
    return (
        f'<b>Turn {turn.number}</b> <span class="lc-note">{" · ".join(figures)}</span>'
        f"{draw_failed(turn.errors)}{why}"
    )


def draw_words(turn: _tree.Turn, cut: Cut) -> str:
    """Return what the user said, and the answer or the error."""
    said = []
    if turn.user:
        said.append(("user", "You", turn.user))
    if (failed := turn.failure) is not None:
        said.append(("error", "Error", failed.headline))
    elif turn.answer:
        said.append(("answer", "Answer", turn.answer))
    return "".join(
        f'<div class="lc-said lc-{who}"><span class="lc-who">{label}</span><div>{cut(text)}</div></div>'
        for who, label, text in said
    )


class Scale:
    """Places times on the width of a turn, in per cent."""

    def __init__(self, turn: _tree.Turn) -> None:
        self._start = turn.start_ns
        self._length = max(turn.end_ns - turn.start_ns, 1)

    def bar(self, span: StoredSpan) -> str:
        """Return the bar of a span."""
        left = 100 * (span.start_ns - self._start) / self._length
        width = 100 * max(span.end_ns - span.start_ns, 0) / self._length
        return f'<i style="margin-left:{left:.2f}%;width:{width:.2f}%"></i>'


def row_class(span: StoredSpan) -> str:
    """Return the classes of a row: foreign kinds must not add attributes or classes."""
    kind = kind_word(span)
    known = kind if kind.isascii() and kind.isalpha() else "span"
    return f"lc-row lc-k-{known}{' lc-failed' if span.status == 'ERROR' else ''}"


def draw_line(row: _tree.Row, scale: Scale) -> str:
    """Return a row: what it was, its bar, and its time."""
    span = row.span
    mark = "✗ " if span.status == "ERROR" else ""
    kind = kind_word(span)
    rest = headline(span, row.via).plain.removeprefix(mark).removeprefix(kind).strip()
    found = outcome(span)
    out = f' <span class="lc-out">→ {escaped(one_line(found.plain, 200))}</span>' if found is not None else ""
    return (
        f'<span class="lc-what">{mark}<b>{escaped(kind)}</b> {escaped(rest)}{out}</span>'
        f'<span class="lc-bar" aria-hidden="true">{scale.bar(span)}</span>'
        f'<span class="lc-time">{duration(span.end_ns - span.start_ns)}</span>'
    )


def _row(item: _tree.Line, scale: Scale, cut: Cut) -> str:
    indent = f' style="--lc-depth:{item.depth}"'
    if item.row is None:
        return f'<p class="lc-steps"{indent}>{escaped(folded(item.steps))}</p>'
    span = item.row.span
    return (
        f'<details class="{row_class(span)}"><summary{indent}>{draw_line(item.row, scale)}</summary>'
        f'<div class="lc-content">{_content(span, cut)}</div></details>'
    )


def _content(span: StoredSpan, cut: Cut) -> str:
    """Return the whole content of a span: messages, arguments, results, error and stack trace."""
    parts = [
        f"<dt>{escaped(one_line(label, 30))}</dt><dd><pre>{cut(text)}</pre></dd>"
        for label, text in blocks(span)
    ]
    failed = failure(span)
    if failed is not None:
        parts.append(f'<dt class="lc-bad">error</dt><dd><pre>{cut(failed.headline)}</pre></dd>')
    if failed is not None and failed.stacktrace:
        parts.append(f'<dt class="lc-bad">stack</dt><dd><pre>{cut(failed.stacktrace)}</pre></dd>')
    ids = f"{escaped(span.name)} · span {span.span_id} · trace {span.trace_id}"
    return f'<dl>{"".join(parts)}</dl><p class="lc-note">{ids}</p>'
