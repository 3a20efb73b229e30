"""Small plots of a session, as SVG drawn by the server."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from lucidic._view._html import escaped
from lucidic._view._tree import Turn
from lucidic._view._words import count, duration


_HEIGHT: Final = 60
_BAR: Final = 14
_SHOWN: Final = 60
"""The last turns; more bars could not be told apart."""


def draw_charts(turns: Sequence[Turn]) -> str:
    """Return tokens and time by turn; nothing for fewer than two turns."""
    shown = turns[-_SHOWN:]
    if len(shown) < 2:
        return ""
    tokens = [(turn.number, turn.tokens.total, count(turn.tokens.total, "token")) for turn in shown]
    times = [
        (turn.number, turn.end_ns - turn.start_ns, duration(turn.end_ns - turn.start_ns)) for turn in shown
    ]
    return f'<div class="lc-charts">{_bars("Tokens by turn", tokens)}{_bars("Time by turn", times)}</div>'


def _bars(title: str, values: Sequence[tuple[int, int, str]]) -> str:
    most = max((value for _, value, _ in values), default=0) or 1
    best = max(values, key=lambda entry: entry[1])
    width = _BAR * len(values)
    bars = "".join(_bar(place, entry, most) for place, entry in enumerate(values))
    label = escaped(f"{title}: most in turn {best[0]}, {best[2]}")
    return (
        f'<figure><figcaption>{escaped(title)} <span class="lc-note">up to {escaped(best[2])}</span></figcaption>'
        f'<svg viewBox="0 0 {width} {_HEIGHT}" width="{width}" height="{_HEIGHT}" role="img" aria-label="{label}">'
        f"{bars}</svg></figure>"
    )


def _bar(place: int, entry: tuple[int, int, str], most: int) -> str:
    number, value, words = entry
    height = max(_HEIGHT * max(value, 0) / most, 1)
    return (
        f'<rect x="{place * _BAR + 1}" y="{_HEIGHT - height:.1f}" width="{_BAR - 2}" height="{height:.1f}" rx="1">'
        f"<title>Turn {number}: {escaped(words)}</title></rect>"
    )
