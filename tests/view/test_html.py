"""Sessions as HTML."""

from __future__ import annotations

import re
from dataclasses import replace
from html.parser import HTMLParser

import pytest

from lucidic._view._html import Budget, draw_file, draw_session
from lucidic._view._notebook import view_session
from lucidic._view._tree import turns
from lucidic.errors import InvalidOperationError, SessionNotFoundError


VOID = {"meta"}


class Checked(HTMLParser):
    """Reads HTML, refusing anything that is not closed in order; collects tags, attributes and text."""

    def __init__(self, html):
        super().__init__()
        self.open, self.tags, self.attributes, self.texts = [], set(), [], []
        self.feed(html)
        self.close()
        assert self.open == []

    def handle_starttag(self, tag, attrs):
        self.tags.add(tag)
        self.attributes += attrs
        if tag not in VOID:
            self.open.append(tag)

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        if self.open[-1:] != ["style"]:
            self.texts.append(data)

    @property
    def text(self):
        return " ".join(" ".join(self.texts).split())


@pytest.fixture
def hostile(trip):
    """The session with a script in every text that comes from outside."""
    canary = '"><script>alert(1)</script><img src=x onerror=alert(2)>'
    changed = []
    for span in trip.made:
        attributes = {
            key: canary if isinstance(value, str) and key != "openinference.span.kind" else value
            for key, value in span.attributes.items()
        }
        events = tuple(
            replace(event, attributes=dict.fromkeys(event.attributes, canary)) for event in span.events
        )
        changed.append(replace(span, name=canary, attributes=attributes, events=events))
    odd = {**changed[0].attributes, "openinference.span.kind": canary}
    changed[0] = replace(changed[0], attributes=odd)
    fields = {"user_id": canary, "tags": [canary]}
    return trip.session(name=canary, session_id=canary, source=canary, fields=fields), changed


def test_the_words_of_every_turn_are_there(trip):
    """Conversation, tree, contents and stack traces, well-formed."""
    read = Checked(draw_session(trip.session(), turns(trip.made)))
    for said in (
        "Trip planning",
        "What is the weather in Paris and Zürich? 🌦️",
        'get_weather(city="Paris")',
        "You are a travel agent.",
        "no seats left on [bold]LX 632[/bold]",
        'File "app.py", line 7, in tool',
        "Hotel du Lac, 120 rooms",
        "+ 2 steps: prompt, should_continue",
        "3 failed spans",
    ):
        assert said in read.text


def test_content_is_never_markup(hostile):
    """A script planted in every field, names and kinds included, is only ever text."""
    session, spans = hostile
    read = Checked(draw_file([(session, turns(spans))]))
    assert not {"script", "img"} & read.tags
    assert not any(name.startswith("on") or name in {"src", "href"} for name, _ in read.attributes)
    assert "<script>alert(1)</script>" in read.text


def test_a_drawing_asks_for_nothing(trip):
    """No script, no link, no image, no font: it shows the same offline, and a page forbids anything else."""
    html = draw_file([(trip.session(), turns(trip.made))])
    assert not re.search(r"<script|<link|<iframe|url\(|@import|\bid=", html)
    assert "default-src 'none'" in html


def test_both_themes_are_there(trip):
    """The system's choice counts, and JupyterLab's or VS Code's before it."""
    html = draw_session(trip.session(), turns(trip.made))
    assert "prefers-color-scheme:dark" in html
    assert 'data-jp-theme-light="false"' in html


def test_huge_content_is_cut(trip):
    """A notebook with a session of megabytes stays a notebook."""
    huge = [
        replace(
            span, attributes={**span.attributes, "output.value": "x" * 300_000, "input.value": "y" * 300_000}
        )
        for span in trip.made
    ]
    html = draw_session(trip.session(), turns(huge), Budget(100_000))
    assert len(html) < 200_000
    assert "more characters" in html


def test_a_huge_session_is_cut_from_its_beginning(trip):
    """Rows are limited: the newest turns have theirs, and the words of all turns are there."""
    made = [replace(span, trace_id=f"{number:032x}") for number in range(1, 9) for span in trip.made[:10]]
    read = Checked(draw_session(trip.session(), turns(made), Budget(rows=12)))
    assert read.text.count("Turn ") == 8
    assert read.text.count("more than fits here") == 6
    assert read.text.index("more than fits here") < read.text.index("prompt, should_continue")


def test_bars_lie_where_their_spans_were(trip):
    """The waterfall is to scale."""
    html = draw_session(trip.session(), turns(trip.made[:10]))
    bars = re.findall(r"margin-left:([\d.]+)%;width:([\d.]+)%", html)
    assert bars[0] == ("0.00", "100.00")
    assert bars[-1] == (f"{510 / 9.31:.2f}", f"{418 / 9.31:.2f}")
    assert all(float(left) + float(width) <= 100.01 for left, width in bars)


def test_a_view_displays_itself_and_prints_as_text(reader, tmp_path):
    """A notebook shows the HTML, a plain prompt the text, and one file keeps it for others."""
    view = view_session(reader, None)
    assert view.session.session_id == "thread-42"
    assert view._repr_html_().startswith('<div class="lucidic"')
    assert repr(view).startswith("Session Trip planning\n")
    assert "\x1b" not in repr(view)
    assert view.save(tmp_path / "s.html").read_text(encoding="utf-8").startswith("<!doctype html>")


def test_an_unknown_session_is_a_clear_error(reader, empty):
    """The way out is in the message."""
    with pytest.raises(SessionNotFoundError, match="lucidic sessions"):
        view_session(reader, "nope")
    with pytest.raises(InvalidOperationError, match="lucidic demo"):
        view_session(empty, None)
