"""A span with everything that it recorded."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Final

from openinference.semconv.trace import SpanAttributes as Key

from lucidic._records import JSONValue, StoredSession, StoredSpan
from lucidic._view import _content as content
from lucidic._view._content import Message, failure, messages
from lucidic._view._html import cut_at, escaped
from lucidic._view._json import span_json
from lucidic._view._lines import arguments, figures, kind_word, result_text, settings, title
from lucidic._view._page._addresses import place_address, span_address
from lucidic._view._page._frame import frame
from lucidic._view._page._json_html import draw_value
from lucidic._view._words import count, day_and_clock, duration


_IMAGE: Final = re.compile(r"data:image/(png|jpeg|gif|webp);base64,[A-Za-z0-9+/=]+")
_TEXT_LIMIT: Final = 200_000
_USER: Final = {"user", "human"}
_FOLDED_MESSAGES: Final = 4
"""So many messages before the user's last words, or more, begin folded."""
_FOLDED_CHARACTERS: Final = 4_000
"""Longer texts of system messages begin folded."""


def span_page(session: StoredSession | None, span: StoredSpan) -> str:
    """Return a page of the span alone."""
    trail = []
    if session is not None:
        address = place_address(session.session_id, span.trace_id, span.span_id)
        trail.append((address, session.name or session.session_id))
    body = f'<article class="lc-alone">{draw_span(span, level=1)}</article>'
    return frame(f"{kind_word(span)} {title(span)}", body, trail=trail)


def draw_span(span: StoredSpan, *, level: int = 2) -> str:
    """Return the content of a span: a model call as a chat, everything else as input and output."""
    kind = kind_word(span)
    known = kind if kind.isascii() and kind.isalpha() else "span"
    failed = " lc-failed" if span.status == "ERROR" else ""
    facts = "".join(f"<li>{escaped(fact)}</li>" for fact in _facts(span))
    return (
        f'<div class="lc-row lc-k-{known}{failed}"><h{level}><b class="lc-kind">{escaped(kind)}</b> {escaped(title(span))}</h{level}>'
        f'<ul class="lc-facts">{facts}</ul></div>'
        f"{_failure(span)}{''.join(_body(span, level + 1))}{_settings(span)}{_links(span, level + 1)}{_rest(span)}"
    )


def _facts(span: StoredSpan) -> Iterator[str]:
    yield {"ERROR": "failed", "OK": "ok"}.get(span.status, "no status")
    yield duration(span.end_ns - span.start_ns)
    yield from figures(span)
    yield f"started {day_and_clock(span.start_ns)}"
    yield f"span {span.span_id}"


def _failure(span: StoredSpan) -> str:
    failed = failure(span)
    if failed is None:
        return ""
    stack = (
        f"<details open><summary>Stack trace</summary><pre>{cut_at(failed.stacktrace, _TEXT_LIMIT)}</pre></details>"
        if failed.stacktrace
        else ""
    )
    return f'<section class="lc-failure" aria-label="Error"><p><b>{escaped(failed.headline)}</b></p>{stack}</section>'


def _body(span: StoredSpan, level: int) -> Iterator[str]:
    inputs = messages(span, Key.LLM_INPUT_MESSAGES)
    outputs = messages(span, Key.LLM_OUTPUT_MESSAGES)
    if inputs:
        said = _conversation(inputs)
        yield _section(f"{count(len(inputs), 'message')} in", said, level)
    else:
        given = content.first(span.attributes, Key.INPUT_VALUE)
        if content.kind(span) == "TOOL":
            given = arguments(span)
        if given:
            yield _section("Input", draw_value(given, _TEXT_LIMIT), level)
    documents = content.documents(span)
    if outputs:
        yield _section("Out", "".join(map(_bubble, outputs)), level)
    elif documents:
        yield _section(count(len(documents), "document"), "".join(map(_document, documents)), level)
    elif result := result_text(span):
        yield _section("Output", draw_value(result, _TEXT_LIMIT), level)


def _section(heading: str, body: str, level: int) -> str:
    return f'<section aria-label="{escaped(heading)}"><h{level}>{escaped(heading)}</h{level}>{body}</section>'


def _conversation(said: Sequence[Message]) -> str:
    """Return messages; of a long history the part before the user's last words is folded."""
    asked = max((place for place, message in enumerate(said) if message.role in _USER), default=0)
    early = asked if asked >= _FOLDED_MESSAGES else 0
    before = "".join(map(_bubble, said[:early]))
    folded = (
        f"<details><summary>{count(early, 'earlier message')}</summary>{before}</details>" if early else ""
    )
    return folded + "".join(map(_bubble, said[early:]))


def _bubble(message: Message) -> str:
    who = "user" if message.role in _USER else "answer" if message.role in {"assistant", "ai"} else "other"
    thought = (
        f'<details class="lc-thought"><summary>reasoning</summary><div>{cut_at(message.reasoning, _TEXT_LIMIT)}</div></details>'
        if message.reasoning
        else ""
    )
    of = f'<p class="lc-note">for call {escaped(message.tool_call_id)}</p>' if message.tool_call_id else ""
    calls = "".join(_call(request.name, request.arguments) for request in message.tool_calls)
    pictures = "".join(map(_picture, message.images))
    return (
        f'<div class="lc-said lc-{who}"><span class="lc-who">{escaped(message.role or "message")}</span>'
        f'<div class="lc-parts">{of}{thought}{_text(message)}{calls}{pictures}</div></div>'
    )


def _text(message: Message) -> str:
    text = message.text
    if not text:
        return ""
    if message.role == "tool" or text.lstrip().startswith(("{", "[")):
        return draw_value(text, _TEXT_LIMIT)
    shown = f"<div>{cut_at(text, _TEXT_LIMIT)}</div>"
    if len(text) <= _FOLDED_CHARACTERS or message.role not in {"system", "developer"}:
        return shown
    return f"<details><summary>{len(text):,} characters</summary>{shown}</details>"


def _call(name: str, given: str) -> str:
    return f'<div class="lc-call"><p>calls <b>{escaped(name)}</b></p>{draw_value(given, _TEXT_LIMIT)}</div>'


def _picture(address: str) -> str:
    """Return an image that is in the span itself; anything else is only named, never fetched."""
    if _IMAGE.fullmatch(address):
        return f'<img src="{escaped(address)}" alt="image in the message" loading="lazy">'
    return f'<p class="lc-note">image at {cut_at(address, 300)}</p>'


def _document(document: dict[str, Any]) -> str:
    facts = [
        f"{key} {content.text_of(document[key])}" for key in ("id", "score", "metadata") if key in document
    ]
    text = cut_at(content.text_of(document.get("content")), _TEXT_LIMIT)
    note = f'<p class="lc-note">{escaped(" · ".join(facts))}</p>' if facts else ""
    return f'<div class="lc-said"><div class="lc-parts">{note}<div>{text}</div></div></div>'


def _settings(span: StoredSpan) -> str:
    return "".join(
        _folded(label.capitalize(), draw_value(text, _TEXT_LIMIT)) for label, text in settings(span)
    )


def _links(span: StoredSpan, level: int) -> str:
    """Return the spans that this one is linked to: where a block of another session was entered."""
    rows = "".join(
        f'<li><a href="{escaped(span_address(link.trace_id, link.span_id))}">span {escaped(link.span_id)}</a></li>'
        for link in span.links
    )
    return _section("Linked spans", f"<ul>{rows}</ul>", level) if rows else ""


def _rest(span: StoredSpan) -> str:
    whole = span_json(span)
    events = "".join(
        f"<p><b>{escaped(event.name)}</b> after {duration(event.time_ns - span.start_ns)}</p>"
        f"{_table(event.attributes)}"
        for event in span.events
        if event.name != "exception"
    )
    return (
        _folded(count(len(span.attributes), "attribute"), _table(span.attributes))
        + (_folded("Events", events) if events else "")
        + _folded(
            "Everything as JSON",
            f"<pre>{cut_at(json.dumps(whole, ensure_ascii=False, indent=2), _TEXT_LIMIT)}</pre>",
        )
    )


def _folded(heading: str, body: str) -> str:
    return f'<details class="lc-more"><summary>{escaped(heading)}</summary>{body}</details>'


def _table(attributes: Mapping[str, JSONValue]) -> str:
    rows = "".join(
        f'<tr><th scope="row">{escaped(key)}</th><td>{cut_at(content.text_of(value), 2_000)}</td></tr>'
        for key, value in sorted(attributes.items())
    )
    return f'<table class="lc-attributes"><tbody>{rows}</tbody></table>' if rows else ""
