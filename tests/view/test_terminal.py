"""The drawing of a session."""

from __future__ import annotations

import io

import pytest
from rich.console import Console

from lucidic._view._terminal import Look, draw_session
from lucidic._view._tree import turns


def draw(made, *, width=80, look=Look(), color=False, session=None):
    """Return the drawing as text, without the spaces at the ends of lines."""
    console = Console(
        file=io.StringIO(), width=width, force_terminal=color, color_system="truecolor" if color else None
    )
    console.print(draw_session(session or made.session(), turns(made.made), look))
    return "\n".join(line.rstrip() for line in console.file.getvalue().splitlines())


def test_a_turn_reads_as_a_conversation_with_a_tree(trip):
    """The user's words, the answer, and what happened in between: golden, in 80 columns."""
    first = draw(trip).split("\n\n")[1]
    assert first.splitlines() == [
        "Turn 1 · 14:13:20 · 353 tokens                                             0.93s",
        "  You    What is the weather in Paris and Zürich? 🌦️",
        "  Answer Paris: 21 °C and sunny.",
        "         Zürich: 14 °C, rain.",
        "  agent travel                                                             0.93s",
        "  ├── model gpt-4o-mini · 120 in (64 cached) · 31 out (12 reasoning)       0.31s",
        '  │   → get_weather(city="Paris"), get_weather(city="Zürich", unit="C")',
        '  ├── tool get_weather(city="Paris")                                         5ms',
        "  │   → 21 °C, sunny",
        '  ├── tool get_weather(city="Zürich", unit="C")                            0.18s',
        '  │   → {"temp": 14, "sky": "rain"}',
        "  ├── model gpt-4o-mini · 180 in · 22 out · first token 0.13s              0.42s",
        "  └── + 2 steps: prompt, should_continue",
    ]


def test_a_failed_turn_says_why_once(trip):
    """The error stands in place of the answer and where it happened, and not on every span between."""
    second = draw(trip).split("\n\n")[2]
    assert second.splitlines() == [
        "Turn 2 · 14:14:20 · 151 tokens · 3 failed spans                             1.2s",
        "  You   Book the 9:40 flight.",
        "  Error BookingError: no seats left on [bold]LX 632[/bold]",
        "  ✗ agent travel                                                            1.2s",
        "  ├── model gpt-4o-mini · 120 in · 31 out                                  0.40s",
        '  │   → book(flight="LX 632")',
        '  └── ✗ tool book(flight="LX 632")                                         0.79s',
        "      BookingError: no seats left on [bold]LX 632[/bold]",
    ]


def test_markup_and_escapes_of_a_user_stay_text(trip):
    """Foreign content neither colours the terminal nor makes links, in colour or without."""
    for color in (False, True):
        drawn = draw(trip, color=color)
        assert "␛[31mred␛[0m [link=https://evil.example]click[/link]" in drawn
        assert "\x1b[31mred" not in drawn
        assert "\x1b]8" not in drawn


def test_without_colour_there_is_no_escape(trip):
    """A pipe gets plain text."""
    assert "\x1b" not in draw(trip)
    assert "\x1b[1m" in draw(trip, color=True)


@pytest.mark.parametrize("width", [40, 80, 120])
@pytest.mark.parametrize("look", [Look(), Look(full=True), Look(errors=True)])
def test_no_line_is_wider_than_the_terminal(trip, width, look):
    """Narrow terminals get narrow lines."""
    from rich.cells import cell_len

    assert max(map(cell_len, draw(trip, width=width, look=look).splitlines())) <= width


def test_huge_content_is_cut_and_full_shows_it(trip):
    """A page of answer does not bury the tree, and --full has every word."""
    drawn, full = draw(trip), draw(trip, look=Look(full=True))
    assert "(14,400 characters, --full shows all)" in drawn
    assert len(drawn.splitlines()) < 70
    assert full.count("hotels near") >= 400
    assert "--full" not in full


def test_full_shows_every_span_and_message(trip):
    """System prompt, arguments, results, documents with their scores, and the framework's own steps."""
    full = draw(trip, look=Look(full=True), width=120)
    for said in (
        "You are a travel agent.",
        '"unit": "C"',
        "id h-1 · score 0.92",
        "Hotel du Lac",
        "chain should_continue",
    ):
        assert said in full


def test_errors_shows_only_what_failed_with_its_stack(trip):
    """One turn of three is left, without the call that went well."""
    drawn = draw(trip, look=Look(errors=True))
    assert "Turn 2" in drawn
    assert "Turn 1" not in drawn
    assert "model" not in drawn
    assert 'File "app.py", line 7, in tool' in drawn


def test_no_errors_and_no_spans_are_said(spans, trip):
    """An empty drawing is never just empty."""
    assert draw(spans).endswith("No spans yet.")
    trip.made = [span for span in trip.made if span.trace_id.endswith("1")]
    assert draw(trip, look=Look(errors=True)).endswith("No errors.")


def test_a_killed_turn_says_that_its_root_is_missing(trip):
    """What was finished is shown, under the words that the model was asked."""
    trip.made = trip.made[2:5]
    drawn = draw(trip, session=trip.session(state="died"))
    assert "no root span" in drawn
    assert "What is the weather" in drawn
    assert drawn.splitlines()[2].startswith("died")


def test_marks_of_unfinished_and_stopped_spans(spans):
    """A span that nobody ended, or that was stopped, says so."""
    marks = {"lucidic.incomplete": True, "lucidic.cancelled": True, "lucidic.stopped_early": True}
    spans.add("a", "AGENT", 0, 1, attributes=marks)
    assert "agent a  unfinished  cancelled  stopped early" in draw(spans)
