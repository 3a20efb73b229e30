"""The three pages: the list, a session, a span."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final
from urllib.parse import urlencode

from openinference.semconv.trace import SpanAttributes as Key

from lucidic._records import StoredSession, StoredSpan
from lucidic._view import _html
from lucidic._view._content import Message, kind, messages
from lucidic._view._html import escaped
from lucidic._view._html_style import STYLE
from lucidic._view._json import span_json
from lucidic._view._lines import headline, pretty
from lucidic._view._page._charts import draw_charts
from lucidic._view._page._style import PAGE_STYLE
from lucidic._view._tree import Turn
from lucidic._view._words import count, day_and_clock, duration, short_count


_STATES: Final = ("active", "finished", "died")
_IMAGES: Final = (
    "data:image/png;base64,",
    "data:image/jpeg;base64,",
    "data:image/gif;base64,",
    "data:image/webp;base64,",
)
_TEXT_LIMIT: Final = 200_000


@dataclass(frozen=True, kw_only=True, slots=True)
class Filters:
    """What the list is narrowed to, as the form gives it."""

    name: str = ""
    state: str = ""
    user: str = ""
    tag: str = ""
    page: int = 1

    def address(self, page: int) -> str:
        """Return the address of another page of the same list."""
        given = {
            "name": self.name,
            "state": self.state,
            "user": self.user,
            "tag": self.tag,
            "page": str(page),
        }
        return "/?" + urlencode(
            {key: value for key, value in given.items() if value and (key, value) != ("page", "1")}
        )


def session_address(session_id: str, **more: str) -> str:
    """Return the address of a session."""
    return "/session?" + urlencode({"id": session_id, **more})


def span_address(session_id: str | None, span: StoredSpan, **more: str) -> str:
    """Return the address of a span."""
    known = {"session": session_id} if session_id is not None else {}
    return "/span?" + urlencode({"id": span.span_id, "trace": span.trace_id, **known, **more})


def frame(title: str, body: str, *, events: str = "") -> str:
    """Return a whole page; ``events`` is the address that says when it changes."""
    live = f' data-events="{escaped(events)}"' if events else ""
    return (
        f'<!doctype html><html lang="en"><head><meta charset="utf-8"><title>{escaped(title)}</title>'
        '<meta name="viewport" content="width=device-width, initial-scale=1">'
        f'<style>{STYLE}{PAGE_STYLE}</style><script src="/page.js" defer></script></head>'
        f'<body class="lc-page"{live}><nav><a href="/">Sessions</a> <span id="lc-live" role="status"></span></nav>'
        f'<main class="lucidic">{body}</main></body></html>'
    )


def list_page(sessions: Sequence[StoredSession], filters: Filters, *, more: bool) -> str:
    """Return the list of sessions with its form and its pages."""
    rows = "".join(map(_session_row, sessions))
    nothing = '<p class="lc-note">No session matches. Make one with: lucidic demo</p>' if not rows else ""
    heads = "".join(f'<th scope="col">{head}</th>' for head in ("Session", "State", "Started", "Time"))
    heads += "".join(
        f'<th scope="col" class="lc-n">{head}</th>' for head in ("Turns", "Spans", "Failed", "Tokens")
    )
    table = (
        f'<table><thead><tr>{heads}</tr></thead><tbody id="lc-items">{rows}</tbody></table>' if rows else ""
    )
    back = (
        f'<a href="{escaped(filters.address(filters.page - 1))}" rel="prev">Newer</a>'
        if filters.page > 1
        else ""
    )
    on = f'<a href="{escaped(filters.address(filters.page + 1))}" rel="next">Older</a>' if more else ""
    body = f'<h1>Sessions</h1>{_form(filters)}{table}{nothing}<p class="lc-pager">{back} {on}</p>'
    return frame("Sessions", body, events="/events")


def _form(filters: Filters) -> str:
    fields = "".join(
        f'<label>{label} <input name="{name}" value="{escaped(value)}"></label>'
        for name, label, value in (
            ("name", "Name", filters.name),
            ("user", "User", filters.user),
            ("tag", "Tag", filters.tag),
        )
    )
    options = "".join(
        f"<option{' selected' if state == filters.state else ''}>{state}</option>" for state in _STATES
    )
    states = f'<label>State <select name="state"><option value="">any</option>{options}</select></label>'
    return f'<form method="get" action="/" role="search">{fields}{states}<button>Search</button></form>'


def _session_row(session: StoredSession) -> str:
    title = escaped(session.name or session.session_id)
    below = f'<div class="lc-note">{escaped(session.session_id)}</div>' if session.name else ""
    length = duration(session.ended_ns - session.started_ns) if session.ended_ns is not None else ""
    figures = (session.traces, session.spans, session.errors, session.total_tokens)
    numbers = "".join(f'<td class="lc-n">{short_count(figure)}</td>' for figure in figures)
    version = f"{session.state}-{session.spans}-{session.ended_ns}"
    return (
        f'<tr data-key="{escaped(session.session_id)}" data-version="{version}">'
        f'<td><a href="{escaped(session_address(session.session_id))}">{title}</a>{below}</td>'
        f'<td><span class="lc-state lc-{session.state}">{session.state}</span></td>'
        f"<td>{day_and_clock(session.started_ns)}</td><td>{length}</td>{numbers}</tr>"
    )


class Linked:
    """A drawing whose contents are fetched when a row is opened."""

    def __init__(self, session_id: str) -> None:
        self._session_id = session_id

    def cut(self, text: str) -> str:
        """Return the text escaped; a turn's words are cut only beyond what anybody would scroll."""
        return _cut(text, 20_000)

    def row(self, span: StoredSpan) -> tuple[str, str]:
        """Return where the row's content is, and a link to it that works without a script."""
        fragment = escaped(span_address(self._session_id, span, fragment="1"))
        page = escaped(span_address(self._session_id, span))
        return f' data-src="{fragment}" data-span="{span.span_id}"', f'<a href="{page}">Open this span</a>'


def session_page(session: StoredSession, turns: Sequence[Turn], *, page: int, page_turns: int) -> str:
    """Return a session as a conversation with waterfalls; ``page`` counts from 1."""
    pages = max(-(-len(turns) // page_turns), 1)
    page = min(max(page, 1), pages)
    shown = turns[(page - 1) * page_turns : page * page_turns]
    drawing = Linked(session.session_id)
    drawn = (
        "".join(_html.draw_turn(turn, drawing) for turn in shown) or '<p class="lc-note">No spans yet.</p>'
    )
    links = "".join(_page_link(session.session_id, number, page) for number in range(1, pages + 1))
    pager = f'<p class="lc-pager">Turns: {links}</p>' if pages > 1 else ""
    export = escaped("/export?" + urlencode({"id": session.session_id}))
    tools = f'<p class="lc-pager"><a href="{export}" download>Save as one HTML file</a></p>'
    version = f"{session.state}-{session.spans}-{session.ended_ns}"
    head = f'<div data-key="header" data-version="{version}">{_html.draw_header(session)}{draw_charts(turns)}{tools}</div>'
    events = "/events?" + urlencode({"id": session.session_id})
    body = f'{head}{pager}<div id="lc-items">{drawn}</div>{pager}'
    return frame(session.name or session.session_id, body, events=events)


def _page_link(session_id: str, number: int, current: int) -> str:
    if number == current:
        return f'<b aria-current="page">{number}</b> '
    return f'<a href="{escaped(session_address(session_id, page=str(number)))}">{number}</a> '


def span_page(session: StoredSession | None, span: StoredSpan) -> str:
    """Return a span with everything that it recorded."""
    title = headline(span).plain
    back = ""
    if session is not None:
        address = escaped(session_address(session.session_id, span=span.span_id))
        back = f'<p><a href="{address}">{escaped(session.name or session.session_id)}</a></p>'
    facts = (
        f"{span.status} · {duration(span.end_ns - span.start_ns)} · started {day_and_clock(span.start_ns)}"
    )
    whole = _cut(json.dumps(span_json(span), ensure_ascii=False, indent=2), _TEXT_LIMIT)
    body = (
        f"{back}<h1>{escaped(title)}</h1><p>{escaped(facts)}</p>{span_content(span)}"
        f"<details><summary>Everything as JSON</summary><pre>{whole}</pre></details>"
    )
    return frame(title, body)


def span_content(span: StoredSpan) -> str:
    """Return a span's content: a model call as a chat, everything else as input and output."""
    drawing = Whole()
    if kind(span) != "LLM":
        return _html.draw_content(span, drawing)
    inputs = messages(span, Key.LLM_INPUT_MESSAGES)
    outputs = messages(span, Key.LLM_OUTPUT_MESSAGES)
    if not inputs and not outputs:
        return _html.draw_content(span, drawing)
    said = "".join(_bubble(message, drawing) for message in inputs)
    answered = "".join(_bubble(message, drawing) for message in outputs)
    rest = _html.draw_content(span, drawing, without_messages=True)
    return (
        f'<section aria-label="Input"><h3>{count(len(inputs), "message")} in</h3>{said}</section>'
        f'<section aria-label="Output"><h3>Out</h3>{answered}</section>{rest}'
    )


class Whole:
    """A drawing of one span with all its text."""

    def cut(self, text: str) -> str:
        """Return the text escaped, and cut only where a browser would crawl."""
        return _cut(text, _TEXT_LIMIT)

    def row(self, span: StoredSpan) -> tuple[str, str]:
        """Return the span's content."""
        return "", _html.draw_content(span, self)


def _bubble(message: Message, drawing: Whole) -> str:
    who = {"user": "user", "human": "user", "assistant": "answer", "ai": "answer"}.get(message.role, "other")
    text = f"<div>{drawing.cut(message.text)}</div>" if message.text else ""
    calls = "".join(_call(request.name, request.arguments, drawing) for request in message.tool_calls)
    thought = (
        f"<details><summary>reasoning</summary><div>{drawing.cut(message.reasoning)}</div></details>"
        if message.reasoning
        else ""
    )
    pictures = "".join(map(_picture, message.images))
    of = (
        f' <span class="lc-note">for call {escaped(message.tool_call_id)}</span>'
        if message.tool_call_id
        else ""
    )
    label = escaped(message.role or "message")
    return (
        f'<div class="lc-said lc-{who}"><span class="lc-who">{label}</span>'
        f'<div class="lc-parts">{of}{thought}{text}{calls}{pictures}</div></div>'
    )


def _call(name: str, arguments: str, drawing: Whole) -> str:
    shown = f"<pre>{drawing.cut(pretty(arguments))}</pre>"
    return f'<details class="lc-call" open><summary>calls <b>{escaped(name)}</b></summary>{shown}</details>'


def _picture(address: str) -> str:
    """Return an image that is in the span itself; anything else is only named, never fetched."""
    if address.startswith(_IMAGES):
        return f'<img src="{escaped(address)}" alt="image in the message" loading="lazy">'
    return f'<p class="lc-note">image at {_cut(address, 300)}</p>'


def _cut(text: str, limit: int) -> str:
    if len(text) <= limit:
        return escaped(text)
    return f'{escaped(text[:limit])} <em class="lc-note">… {len(text) - limit:,} more characters</em>'


def not_found_page(what: Mapping[str, str]) -> str:
    """Return the page for what is not there."""
    named = ", ".join(f"{key} {value}" for key, value in what.items()) or "nothing"
    return frame("Not found", f"<h1>Not found</h1><p>{escaped(named)} is not in the local store.</p>")
