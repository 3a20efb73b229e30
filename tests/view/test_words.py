"""Numbers, times and foreign text."""

from __future__ import annotations

import pytest

from lucidic._view._words import duration, iso, one_line, safe, short_count


@pytest.mark.parametrize(
    ("nanoseconds", "text"),
    [
        (0, "0ms"),
        (400_000, "0.4ms"),
        (5_000_000, "5ms"),
        (99_400_000, "99ms"),
        (310_000_000, "0.31s"),
        (999_000_000, "1.0s"),
        (13_000_000_000, "13s"),
        (133_000_000_000, "2m13s"),
        (3_840_000_000_000, "1h04m"),
        (200_000_000_000_000, "2d07h"),
        (-5, "0ms"),
    ],
)
def test_durations_have_two_or_three_digits(nanoseconds, text):
    """A duration is short at every size, and a clock that ran backwards is no time at all."""
    assert duration(nanoseconds) == text


def test_control_characters_become_visible():
    """Nothing in foreign text can drive the terminal: escapes, C1 controls, bidi overrides, lone surrogates."""
    assert safe("a\x1b[31m\x07\x9b\u202e\ud800\x7f\r\n\tb") == "a␛[31m␇���␡\n    b"


def test_one_line_is_cut_with_an_ellipsis():
    """Line breaks become spaces, and what does not fit is cut."""
    assert one_line("a\n b\tc", 10) == "a b c"
    assert one_line("x" * 50, 10) == "x" * 9 + "…"
    assert one_line(" " * 500 + "end", 10) == "…"


def test_times_are_exact_to_the_microsecond():
    """A float would lose digits of a nanosecond clock."""
    assert iso(1_790_000_000_123_456_789) == "2026-09-21T14:13:20.123456Z"


@pytest.mark.parametrize(
    ("number", "text"), [(950, "950"), (12_345, "12,345"), (123_456, "123k"), (1_250_000, "1.2M")]
)
def test_big_numbers_fit_a_column(number, text):
    """Counts keep to six characters."""
    assert short_count(number) == text
