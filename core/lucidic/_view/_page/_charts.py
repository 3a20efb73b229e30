"""Small plots of a session, as SVG drawn by the server."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from collections.abc import Set as AbstractSet
from typing import Final

from lucidic._records import StoredTrace
from lucidic._view._html import escaped
from lucidic._view._words import count, duration, short_count


_HEIGHT: Final = 56
_WIDTH: Final = 480
_MOST_BARS: Final = 80
"""More could not be told apart: neighbours share a bar."""


def draw_charts(traces: Sequence[StoredTrace]) -> str:
    """Return tokens and time over the session; nothing for fewer than two turns."""
    if len(traces) < 2:
        return ""
    each = -(-len(traces) // _MOST_BARS)
    groups = [(start + 1, traces[start : start + each]) for start in range(0, len(traces), each)]
    tokens = [(first, len(group), sum(trace.total_tokens for trace in group)) for first, group in groups]
    times = [
        (first, len(group), max(trace.end_ns - trace.start_ns for trace in group)) for first, group in groups
    ]
    failed = {first for first, group in groups if any(trace.errors for trace in group)}
    noun = "turn" if each == 1 else f"{each} turns"
    drawn = _bars(f"Tokens by {noun}", tokens, failed, lambda value: count(value, "token"), short_count)
    slowest = "Time by turn" if each == 1 else f"Slowest of {noun}"
    return f'<div class="lc-charts">{drawn}{_bars(slowest, times, failed, duration, duration)}</div>'


def _bars(
    title: str,
    values: Sequence[tuple[int, int, int]],
    failed: AbstractSet[int],
    words: Callable[[int], str],
    short: Callable[[int], str],
) -> str:
    """Draw one value for each group of turns: its first turn, how many there are, the value."""
    first, number, most = max(values, key=lambda entry: entry[2])
    step = _WIDTH / len(values)
    bars = "".join(
        _bar(
            place * step,
            step,
            _HEIGHT * max(value, 0) / (most or 1),
            f"{_named(start, length)}: {words(value)}",
            start in failed,
        )
        for place, (start, length, value) in enumerate(values)
    )
    label = escaped(f"{title}: most in {_named(first, number).lower()}, {words(most)}")
    return (
        f'<figure><figcaption>{escaped(title)} <span class="lc-note">up to {escaped(short(most))}</span></figcaption>'
        f'<svg viewBox="0 0 {_WIDTH} {_HEIGHT}" preserveAspectRatio="none" role="img" aria-label="{label}">{bars}</svg></figure>'
    )


def _named(first: int, number: int) -> str:
    return f"Turn {first}" if number == 1 else f"Turns {first} to {first + number - 1}"


def _bar(left: float, step: float, height: float, words: str, failed: bool) -> str:
    width = min(step * 0.8, 24)
    tall = max(height, 1)
    bad = ' class="lc-failed"' if failed else ""
    return (
        f'<rect{bad} x="{left + (step - width) / 2:.1f}" y="{_HEIGHT - tall:.1f}" width="{width:.1f}" height="{tall:.1f}">'
        f"<title>{escaped(words)}</title></rect>"
    )
