"""Draw sessions as HTML that needs nothing else: no script, no request, no identifier that could clash.

All text of a session passes through :func:`escaped`; nothing of it is ever interpreted.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from html import escape
from typing import Final, Protocol

from lucidic._records import StoredSession, StoredSpan
from lucidic._view import _tree
from lucidic._view._content import failure, text_of
from lucidic._view._html_style import STYLE
from lucidic._view._lines import blocks, headline, kind_word, outcome, settings
from lucidic._view._words import clock, count, day_and_clock, duration, one_line, safe


_BLOCK_LIMIT: Final = 20_000
"""Characters of one text; a page that holds whole documents makes a browser crawl."""
_CONTENT_LIMIT: Final = 1_500_000
"""Characters of content in one drawing."""
_OPEN_TURNS: Final = 20
"""More turns than these begin folded."""


def escaped(text: str) -> str:
    """Return foreign text so that a browser shows it and does nothing else with it."""
    return escape(safe(text), quote=True)


class Drawing(Protocol):
    """How a drawing treats texts, and what it puts below a span's line."""

    def cut(self, text: str) -> str:
        """Return a text escaped, and cut where it is too long."""

    def row(self, span: StoredSpan) -> tuple[str, str]:
        """Return the attributes of a span's row and its content, both as HTML."""


class Embedded:
    """A drawing that carries all content with it, cut so that it stays small enough to keep in a notebook."""

    def __init__(self, left: int = _CONTENT_LIMIT) -> None:
        self._left = left

    def cut(self, text: str) -> str:
        """Return the text escaped, with a note where it was cut."""
        limit = min(_BLOCK_LIMIT, max(self._left, 200))
        self._left -= min(len(text), limit)
        if len(text) <= limit:
            return escaped(text)
        return f'{escaped(text[:limit])} <em class="lc-note">… {len(text) - limit:,} more characters</em>'

    def row(self, span: StoredSpan) -> tuple[str, str]:
        """Return the span's content."""
        return "", draw_content(span, self)


def draw_session(session: StoredSession, turns: Sequence[_tree.Turn], drawing: Drawing | None = None) -> str:
    """Return a session as one block: header, then each turn as a conversation with its tree and waterfall."""
    drawing = drawing or Embedded()
    drawn = "".join(draw_turn(turn, drawing, is_open=len(turns) <= _OPEN_TURNS) for turn in turns)
    body = drawn or '<p class="lc-note">No spans yet.</p>'
    label = escaped(session.name or session.session_id)
    head = draw_header(session)
    return f'<div class="lucidic" role="region" aria-label="Session {label}"><style>{STYLE}</style>{head}{body}</div>'


def draw_page(title: str, body: str) -> str:
    """Return a whole document around a drawing."""
    return (
        f'<!doctype html><html lang="en"><head><meta charset="utf-8"><title>{escaped(title)}</title>'
        '<meta name="viewport" content="width=device-width, initial-scale=1">'
        "<meta http-equiv=\"Content-Security-Policy\" content=\"default-src 'none'; style-src 'unsafe-inline'\">"
        f"<style>{STYLE}</style></head>"
        f'<body class="lc-page"><main>{body}</main></body></html>'
    )


def draw_header(session: StoredSession) -> str:
    """Return name, id, state and sums of a session."""
    title = escaped(session.name or session.session_id)
    sums = [count(session.traces, "turn"), count(session.spans, "span"), count(session.total_tokens, "token")]
    if session.ended_ns is not None:
        sums.insert(0, duration(session.ended_ns - session.started_ns))
    failed = f' · <b class="lc-bad">{count(session.errors, "failed span")}</b>' if session.errors else ""
    facts = [
        f"id {session.session_id}",
        f"started {day_and_clock(session.started_ns)}",
        f"id from {session.source}",
    ]
    if user := text_of(session.fields.get("user_id")):
        facts.append(f"user {user}")
    tags = session.fields.get("tags")
    if isinstance(tags, list) and tags:
        facts.append("tags " + ", ".join(map(text_of, tags)))
    about = escaped(" · ".join(facts))
    return (
        f'<header><h2>{title} <span class="lc-state lc-{session.state}">{session.state}</span></h2>'
        f'<p>{" · ".join(sums)}{failed}</p><p class="lc-note">{about}</p></header>'
    )


def draw_turn(turn: _tree.Turn, drawing: Drawing, *, is_open: bool = True) -> str:
    """Return one turn: the words, and below them tree and waterfall, folded to begin with when it went well."""
    figures = [clock(turn.start_ns), duration(turn.end_ns - turn.start_ns)]
    if turn.tokens.total:
        figures.append(count(turn.tokens.total, "token"))
    failed = f' · <b class="lc-bad">{count(turn.errors, "failed span")}</b>' if turn.errors else ""
    rootless = "" if turn.root is not None else ' · <b class="lc-warn">no root span</b>'
    rows, steps = _tree.fold(turn.top)
    scale = _Scale(turn)
    lines = "".join(_row(row, 0, scale, drawing) for row in rows) + _steps(steps, 0)
    return (
        f'<details class="lc-turn" data-key="{turn.trace_id}" data-version="{len(turn.spans)}"'
        f"{' open' if is_open else ''}><summary><b>Turn {turn.number}</b>"
        f' <span class="lc-note">{" · ".join(figures)}</span>{failed}{rootless}</summary>'
        f'{_words(turn, drawing)}<div class="lc-tree">{lines}</div></details>'
    )


def _words(turn: _tree.Turn, drawing: Drawing) -> str:
    said = []
    if turn.user:
        said.append(("user", "You", turn.user))
    if (failed := turn.failure) is not None:
        said.append(("error", "Error", failed.headline))
    elif turn.answer:
        said.append(("answer", "Answer", turn.answer))
    return "".join(
        f'<div class="lc-said lc-{who}"><span class="lc-who">{label}</span><div>{drawing.cut(text)}</div></div>'
        for who, label, text in said
    )


class _Scale:
    """Places times on the width of a turn, in per cent."""

    def __init__(self, turn: _tree.Turn) -> None:
        self._start = turn.start_ns
        self._length = max(turn.end_ns - turn.start_ns, 1)

    def bar(self, span: StoredSpan) -> str:
        left = 100 * (span.start_ns - self._start) / self._length
        width = 100 * max(span.end_ns - span.start_ns, 0) / self._length
        return f'<i style="margin-left:{left:.2f}%;width:{width:.2f}%"></i>'


def _row(row: _tree.Row, depth: int, scale: _Scale, drawing: Drawing) -> str:
    span = row.span
    words = headline(span, row.via).plain
    mark = "✗ " if span.status == "ERROR" else ""
    kind = kind_word(span)
    rest = words.removeprefix(mark).removeprefix(kind).strip()
    bad = " lc-failed" if mark else ""
    below = "".join(_row(child, depth + 1, scale, drawing) for child in row.children) + _steps(
        row.steps, depth + 1
    )
    more, content = drawing.row(span)
    return (
        f'<details class="lc-row lc-k-{_class(kind)}{bad}"{more}><summary style="--lc-depth:{depth}">'
        f'<span class="lc-what">{mark}<b>{escaped(kind)}</b> {escaped(rest)}{_outcome(span)}</span>'
        f'<span class="lc-bar" aria-hidden="true">{scale.bar(span)}</span>'
        f'<span class="lc-time">{duration(span.end_ns - span.start_ns)}</span></summary>'
        f'<div class="lc-content">{content}</div></details>{below}'
    )


def _outcome(span: StoredSpan) -> str:
    found = outcome(span)
    return (
        f' <span class="lc-out">→ {escaped(one_line(found.plain, 200))}</span>' if found is not None else ""
    )


def _class(kind: str) -> str:
    """Return a kind as part of a class name: foreign kinds must not add attributes or classes."""
    return kind if kind.isascii() and kind.isalpha() else "span"


def _steps(names: Sequence[str], depth: int) -> str:
    if not names:
        return ""
    listed = ", ".join(one_line(name, 60) for name in names)
    return (
        f'<p class="lc-steps" style="--lc-depth:{depth}">+ {count(len(names), "step")}: {escaped(listed)}</p>'
    )


def draw_content(span: StoredSpan, drawing: Drawing, *, without_messages: bool = False) -> str:
    """Return the whole content of a span: messages, arguments, results, error and stack trace."""
    shown = settings(span) if without_messages else blocks(span)
    parts = [
        f"<dt>{escaped(one_line(label, 30))}</dt><dd><pre>{drawing.cut(text)}</pre></dd>"
        for label, text in shown
    ]
    parts += [
        f'<dt class="lc-bad">{label}</dt><dd><pre>{drawing.cut(text)}</pre></dd>'
        for label, text in _failure(span)
    ]
    ids = f"{escaped(span.name)} · span {span.span_id} · trace {span.trace_id}"
    return f'<dl>{"".join(parts)}</dl><p class="lc-note">{ids}</p>'


def _failure(span: StoredSpan) -> Iterator[tuple[str, str]]:
    failed = failure(span)
    if failed is not None:
        yield "error", failed.headline
        if failed.stacktrace:
            yield "stack", failed.stacktrace
