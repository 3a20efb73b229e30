"""The list of sessions."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from lucidic._records import StoredSession
from lucidic._view._content import text_of
from lucidic._view._html import escaped
from lucidic._view._page._addresses import STATES, ListFilters, session_address
from lucidic._view._page._frame import chunk, frame
from lucidic._view._words import count, day_and_clock, duration, short_count


CHUNK: Final = 50
"""Sessions that are fetched at a time."""
_ROW_PIXELS: Final = 53
_HEADS: Final = ("Session", "State", "User", "Started")
_FIGURES: Final = ("Time", "Turns", "Spans", "Failed", "Tokens")


def list_page(shown: Sequence[StoredSession], filters: ListFilters, total: int, *, start: int = 0) -> str:
    """Return the page: the form, and a table in which the chunk from ``start`` on is there already."""
    heads = "".join(f'<th scope="col">{head}</th>' for head in _HEADS)
    heads += "".join(f'<th scope="col" class="lc-n">{head}</th>' for head in _FIGURES)
    chunks = "".join(
        chunk(
            filters.address("/part/sessions", start=str(place)),
            filters.address(start=str(place)),
            f"Sessions {place + 1} to {min(place + CHUNK, total)}",
            min(CHUNK, total - place) * _ROW_PIXELS,
            tag="tbody",
            inside=draw_rows(shown) if place == start else None,
        )
        for place in range(0, total, CHUNK)
    )
    narrowed = filters != ListFilters()
    table = (
        f'<table class="lc-list"><caption class="lc-unseen">Sessions, the newest first</caption>'
        f"<thead><tr>{heads}</tr></thead>{chunks}</table>"
    )
    hint = "Nothing matches these filters." if narrowed else "Make a first one with: lucidic demo"
    nothing = f'<div class="lc-empty"><p>No sessions.</p><p class="lc-note">{hint}</p></div>'
    said = f"{total:,} found" if narrowed else count(total, "session")
    body = (
        f'<div class="lc-title"><h1>Sessions</h1><span class="lc-note" id="lc-total" role="status">{said}</span></div>'
        f'{_form(filters)}<div id="lc-items">{table if total else nothing}</div>'
    )
    return frame("Sessions", body, events="/events")


def _form(filters: ListFilters) -> str:
    options = "".join(
        f'<option value="{state}"{" selected" if state == filters.state else ""}>{state}</option>'
        for state in STATES
    )
    return (
        '<form method="get" action="/" role="search" aria-label="Sessions">'
        f'<label class="lc-wide">Search <input type="search" name="q" value="{escaped(filters.q)}"'
        ' placeholder="Part of a name, id, user or tag"></label>'
        f'<label>State <select name="state"><option value="">any</option>{options}</select></label>'
        f'<label>User <input name="user" value="{escaped(filters.user)}"></label>'
        f'<label>Tag <input name="tag" value="{escaped(filters.tag)}"></label>'
        f'<label class="lc-check"><input type="checkbox" name="failed" value="1"{" checked" if filters.failed else ""}>'
        " With failures</label><button>Search</button>"
        f"{'' if filters == ListFilters() else '<a href=/>Clear</a>'}</form>"
    )


def draw_rows(sessions: Sequence[StoredSession]) -> str:
    """Return the rows of sessions."""
    return "".join(map(_row, sessions))


def _row(session: StoredSession) -> str:
    title = escaped(session.name or session.session_id)
    below = f'<div class="lc-note lc-id">{escaped(session.session_id)}</div>' if session.name else ""
    tags = session.fields.get("tags")
    shown = tags if isinstance(tags, list) else []
    labels = "".join(f' <span class="lc-tag">{escaped(text_of(tag))}</span>' for tag in shown)
    length = duration(session.ended_ns - session.started_ns) if session.ended_ns is not None else ""
    failed = f'<b class="lc-bad">{short_count(session.errors)}</b>' if session.errors else ""
    figures = (
        length,
        short_count(session.traces),
        short_count(session.spans),
        failed,
        short_count(session.total_tokens),
    )
    return (
        f'<tr><td><a href="{escaped(session_address(session.session_id))}">{title}</a>{labels}{below}</td>'
        f'<td><span class="lc-state lc-{session.state}">{session.state}</span></td>'
        f"<td>{escaped(text_of(session.fields.get('user_id')))}</td><td>{day_and_clock(session.started_ns)}</td>"
        + "".join(f'<td class="lc-n">{figure}</td>' for figure in figures)
        + "</tr>"
    )
