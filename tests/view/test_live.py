"""The growing tree, and following a session of another process."""

from __future__ import annotations

import io

import pytest
from click.testing import CliRunner
from rich.console import Console

from lucidic._cli import _tail, main
from lucidic._view._live import LiveTree


def console(*, terminal):
    return Console(file=io.StringIO(), width=80, force_terminal=terminal, _environ={"TERM": "xterm"})


def finished(made):
    return sorted(made, key=lambda span: span.end_ns)


def test_without_a_terminal_each_span_is_a_line(trip):
    """A pipe gets a line for each span as it ends, steps left out, and two lines around each turn."""
    screen = console(terminal=False)
    with LiveTree(screen) as tree:
        for span in finished(trip.made):
            tree.add(span)
    lines = screen.file.getvalue().splitlines()
    assert lines[:6] == [
        "Turn 1 · 14:13:20 · What is the weather in Paris and Zürich? 🌦️",
        (
            "  model gpt-4o-mini · 120 in (64 cached) · 31 out (12 reasoning) · 0.31s"
            ' → get_weather(city="Paris"), get_weather(city="Zürich", unit="C")'
        ),
        '  tool get_weather(city="Paris") · 5ms → 21 °C, sunny',
        '  tool get_weather(city="Zürich", unit="C") · 0.18s → {"temp": 14, "sky": "rain"}',
        (
            "  model gpt-4o-mini · 180 in · 22 out · first token 0.13s · 0.42s"
            " → Paris: 21 °C and sunny. Zürich: 14 °C, rain."
        ),
        "Turn 1 · 0.93s · 353 tokens",
    ]
    assert lines[-1] == "Turn 3 · 13s · 3,414 tokens"
    assert "\x1b" not in screen.file.getvalue()


def test_a_span_seen_twice_is_shown_once(trip):
    """Polling may bring a span again."""
    screen = console(terminal=False)
    with LiveTree(screen) as tree:
        tree.add(*trip.made)
        tree.add(*trip.made)
    assert screen.file.getvalue().count("book(flight") == 2


def test_in_a_terminal_finished_turns_stay_and_open_ones_run(trip):
    """A turn is redrawn until its root ends, then printed for good."""
    screen = console(terminal=True)
    with LiveTree(screen) as tree:
        tree.add(*finished(trip.made)[:3])
        assert "running" in screen.file.getvalue()
        screen.file.truncate(0)
        tree.add(*trip.made)
        screen.file.truncate(0)
    assert "Turn" not in screen.file.getvalue()


def test_what_is_left_open_is_printed_at_the_end(trip):
    """Ctrl-C in the middle of a turn leaves its spans on the screen."""
    screen = console(terminal=True)
    with LiveTree(screen) as tree:
        tree.add(*trip.made[3:4])
        screen.file.truncate(0)
    assert "no root span" in screen.file.getvalue()
    assert "gpt-4o-mini" in screen.file.getvalue()


def test_known_turns_are_counted_and_not_drawn(trip):
    """Following in the middle of a session goes on with its numbers."""
    screen = console(terminal=False)
    with LiveTree(screen, known=trip.made[:10]) as tree:
        tree.add(*trip.made)
    assert screen.file.getvalue().startswith("Turn 2 · ")


@pytest.fixture
def no_sleep(monkeypatch):
    """Looks follow each other at once; after ten of them somebody presses Ctrl-C."""
    looks = []

    def sleep(seconds):
        looks.append(seconds)
        if len(looks) > 10:
            raise KeyboardInterrupt

    monkeypatch.setattr(_tail, "sleep", sleep)
    return looks


def tail(reader, *arguments):
    return CliRunner().invoke(
        main, ["tail", *arguments], obj={"open_store": lambda: reader}, catch_exceptions=False
    )


def test_tail_shows_spans_as_they_arrive_and_ends_at_ctrl_c(reader, trip, no_sleep):
    """Spans of later looks are shown once each, and Ctrl-C is no error."""
    reader.kept, reader.arriving = [], [trip.made[:10], [], trip.made[10:14], trip.made[14:]]
    result = tail(reader)
    assert result.exit_code == 0
    assert [line[:6] for line in result.stdout.splitlines() if line.startswith("Turn")] == [
        f"Turn {number}" for number in (1, 1, 2, 2, 3, 3)
    ]


def test_tail_until_end_stops_by_itself(reader, no_sleep):
    """A finished session is shown and left."""
    assert tail(reader, "--until-end").stdout.count("Turn") == 6
    assert len(no_sleep) <= 2


def test_tail_waits_for_the_first_session_and_goes_over_to_newer_ones(empty, trip, no_sleep, monkeypatch):
    """Without a name the newest session is followed, also one that begins meanwhile."""
    later = trip.session(session_id="later", started_ns=trip.session().started_ns + 1)
    steps = [
        lambda: None,
        lambda: empty.known.append(trip.session()),
        lambda: None,
        lambda: empty.known.append(later),
    ]
    monkeypatch.setattr(empty, "catch_up", lambda: steps.pop(0)() if steps else None)
    result = tail(empty)
    assert "Waiting for the first session" in result.stderr
    assert result.stdout.count("Session Trip planning") == 2
    assert "later" in result.stdout
