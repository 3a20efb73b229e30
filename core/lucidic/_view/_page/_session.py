"""A session as a conversation, with the waterfall of its spans."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Final
from urllib.parse import urlencode

from lucidic._records import StoredSession, StoredSpan, StoredTrace
from lucidic._view import _html, _tree
from lucidic._view._html import cut_at, escaped
from lucidic._view._lines import facts_of, folded
from lucidic._view._page._addresses import EVERY, SpanFilters, place_address, session_address
from lucidic._view._page._charts import draw_charts
from lucidic._view._page._frame import chunk, frame
from lucidic._view._page._traces import Drawn
from lucidic._view._words import clock, day_and_clock, duration, short_count


TURNS: Final = 10
"""Turns that are fetched at a time."""
LINES: Final = 50
"""Lines of a tree that are fetched at a time; so many of a turn come with it."""
MATCHES: Final = 300
"""Spans that a search shows."""
_TURN_PIXELS: Final = 260
LINE_PIXELS: Final = 26
_WORDS_LIMIT: Final = 20_000
_KEYS: Final = (
    '<p class="lc-keys"><kbd>↑</kbd> <kbd>↓</kbd> between spans, <kbd>Enter</kbd> opens one, <kbd>Esc</kbd> closes it, '
    "<kbd>[</kbd> <kbd>]</kbd> between turns, <kbd>/</kbd> searches</p>"
)
_KINDS: Final = ("agent", "model", "tool", "retriever", "embedding", "chain", "guardrail", "evaluator")


def session_page(
    session: StoredSession,
    traces: Sequence[StoredTrace],
    body: str,
    *,
    filters: SpanFilters,
    selected: str = "",
    every: bool = False,
) -> str:
    """Return the page around the turns, or around what a search has found.

    ``selected`` is the content of the span that the address names; with ``every`` no steps are folded.
    """
    known = f'<div data-live="head">{_header(session)}{draw_charts(traces)}</div>{_form(session, filters, every=every)}{_KEYS}'
    panel = (
        '<aside id="lc-panel" aria-label="Span" tabindex="-1"'
        f'{"" if selected else " hidden"}><div class="lc-panel-top"><a id="lc-alone" href="#">Open alone</a>'
        '<button type="button" id="lc-close" aria-label="Close the span">✕</button></div>'
        f'<div id="lc-span">{selected}</div></aside>'
    )
    page = f'<div class="lc-split"><div class="lc-conversation">{known}<div id="lc-items">{body}</div></div>{panel}</div>'
    events = "" if filters else "/events?" + urlencode({"id": session.session_id})
    return frame(session.name or session.session_id, page, events=events)


def _header(session: StoredSession) -> str:
    end = session.ended_ns
    tiles = [
        ("Turns", short_count(session.traces), ""),
        ("Spans", short_count(session.spans), ""),
        ("Failed", short_count(session.errors), " lc-bad" if session.errors else ""),
        ("Tokens in", short_count(session.prompt_tokens), ""),
        ("Tokens out", short_count(session.completion_tokens), ""),
        ("Time", "running" if end is None and session.state == "active" else _length(session), ""),
    ]
    drawn = "".join(
        f'<div><dt>{name}</dt><dd class="lc-tile{more}">{value}</dd></div>' for name, value, more in tiles
    )
    facts = "".join(f"<li>{escaped(fact)}</li>" for fact in _facts(session))
    export = escaped("/export?" + urlencode({"id": session.session_id}))
    return (
        f'<div class="lc-title"><h1>{escaped(session.name or session.session_id)}</h1>'
        f' <span class="lc-state lc-{session.state}">{session.state}</span>'
        f'<span class="lc-tools"><button type="button" data-copy="{escaped(session.session_id)}">Copy id</button>'
        f'<a href="{export}" download>Save as HTML</a></span></div>'
        f'<ul class="lc-facts">{facts}</ul><dl class="lc-tiles">{drawn}</dl>'
    )


def _length(session: StoredSession) -> str:
    return "" if session.ended_ns is None else duration(session.ended_ns - session.started_ns)


def _facts(session: StoredSession) -> Iterable[str]:
    if session.name:
        yield session.session_id
    yield f"started {day_and_clock(session.started_ns)}"
    yield from facts_of(session)
    yield f"id from {session.source}"


def _form(session: StoredSession, filters: SpanFilters, *, every: bool) -> str:
    options = "".join(
        f"<option{' selected' if kind == filters.kind else ''}>{kind}</option>" for kind in _KINDS
    )
    other, says = (session_address(session.session_id), "Show all turns" if filters else "Fold the steps")
    if not filters and not every:
        other, says = session_address(session.session_id, **EVERY), "Show every span"
    return (
        '<form method="get" action="/session" role="search" aria-label="Spans of this session">'
        f'<input type="hidden" name="id" value="{escaped(session.session_id)}">'
        f'<label class="lc-wide">Search <input type="search" name="q" value="{escaped(filters.q)}"'
        ' placeholder="Part of a message, a name, an error"></label>'
        f'<label>Kind <select name="kind"><option value="">any</option>{options}</select></label>'
        f'<label class="lc-check"><input type="checkbox" name="failed" value="1"{" checked" if filters.failed else ""}>'
        f' Failed</label><button>Search</button><a href="{escaped(other)}">{says}</a></form>'
    )


def draw_chunks(
    session: StoredSession, traces: Sequence[StoredTrace], inside: Mapping[int, str], *, every: bool = False
) -> str:
    """Return the chunks of a session's turns; those of ``inside`` are there already."""
    more = EVERY if every else {}
    drawn = "".join(
        chunk(
            "/part/turns?" + urlencode({"id": session.session_id, "start": start, **more}),
            session_address(session.session_id, start=str(start), **more),
            f"Turns {start + 1} to {min(start + TURNS, len(traces))}",
            sum(_TURN_PIXELS + min(trace.spans, 400) * 10 for trace in traces[start : start + TURNS]),
            inside=inside.get(start),
        )
        for start in range(0, len(traces), TURNS)
    )
    return drawn or '<div class="lc-empty"><p>No spans yet.</p></div>'


def draw_turns(session: StoredSession, turns: Sequence[Drawn], *, around: str = "") -> str:
    """Return turns; of long ones the first lines, and those around the span ``around``."""
    return "".join(_turn(session, drawn, around) for drawn in turns)


def _turn(session: StoredSession, drawn: Drawn, around: str) -> str:
    turn, place = drawn.turn, drawn.line_of(around) if around else None
    wanted = 0 if place is None else place // LINES * LINES
    more = EVERY if drawn.every else {}
    parts = "".join(
        chunk(
            "/part/lines?"
            + urlencode({"id": session.session_id, "trace": turn.trace_id, "start": start, **more}),
            _place(session, drawn.lines[start], more),
            f"Spans {start + 1} to {min(start + LINES, len(drawn.lines))}",
            min(LINES, len(drawn.lines) - start) * LINE_PIXELS,
            tag="ul",
            inside=draw_lines(session, drawn, start) if start in (0, wanted) else None,
        )
        for start in range(0, len(drawn.lines), LINES)
    )
    return (
        f'<details class="lc-turn" id="turn-{turn.number}" data-key="{turn.trace_id}" open>'
        f"<summary>{_html.draw_heading(turn, session.state)}</summary>"
        f'{_html.draw_words(turn, lambda text: cut_at(text, _WORDS_LIMIT))}<div class="lc-tree">{parts}</div></details>'
    )


def _place(session: StoredSession, line: _tree.Line, more: Mapping[str, str]) -> str:
    span = line.row.span if line.row is not None else None
    if span is None:
        return session_address(session.session_id, **more)
    return place_address(session.session_id, span.trace_id, span.span_id, **more)


def draw_lines(session: StoredSession, drawn: Drawn, start: int) -> str:
    """Return the lines of a turn's tree from ``start`` on."""
    scale = _html.Scale(drawn.turn)
    more = EVERY if drawn.every else {}
    return "".join(_line(session, line, scale, more) for line in drawn.lines[start : start + LINES])


def _line(session: StoredSession, line: _tree.Line, scale: _html.Scale, more: Mapping[str, str]) -> str:
    place = f'style="--lc-depth:{line.depth}"'
    if line.row is None:
        return f'<li class="lc-steps" {place}><span>{escaped(folded(line.steps))}</span></li>'
    span = line.row.span
    return f'<li aria-level="{line.depth + 1}">{_link(session, span, more)} {place}>{_html.draw_line(line.row, scale)}</a></li>'


def _link(session: StoredSession, span: StoredSpan, more: Mapping[str, str]) -> str:
    address = escaped(place_address(session.session_id, span.trace_id, span.span_id, **more))
    return f'<a class="{_html.row_class(span)}" href="{address}" data-span="{span.span_id}"'


def draw_found(session: StoredSession, found: Sequence[tuple[_tree.Turn, StoredSpan]]) -> str:
    """Return the spans that a search has found, turn by turn."""
    shown = found[:MATCHES]
    more = f" The first {MATCHES} are shown." if len(found) > MATCHES else ""
    number = f"{MATCHES}+" if more else str(len(found))
    parts: list[str] = []
    scales: dict[int, _html.Scale] = {}
    for turn, span in shown:
        if turn.number not in scales:
            scales[turn.number] = _html.Scale(turn)
            parts.append(
                f'{"</ul>" if parts else ""}<h2>Turn {turn.number} <span class="lc-note">{clock(turn.start_ns)}</span></h2><ul>'
            )
        line = _html.draw_line(_tree.Row(_tree.Node(span)), scales[turn.number])
        parts.append(f'<li>{_link(session, span, {})} style="--lc-depth:0">{line}</a></li>')
    noun = "span matches" if number == "1" else "spans match"
    return f'<p role="status">{number} {noun}.{more}</p><div class="lc-tree">{"".join(parts)}{"</ul>" if parts else ""}</div>'
