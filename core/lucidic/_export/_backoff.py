"""How long to wait before the next attempt."""

from __future__ import annotations

import random
from typing import Final


SHORTEST: Final = 0.1
LONGEST: Final = 30.0
LONGEST_ASKED: Final = 300.0
PROBE: Final = 60.0
"""Seconds between two attempts at a sink that is not configured right."""


class Backoff:
    """Exponential backoff with full jitter, from 0.1 to 30 seconds; a sink that asks for a time gets it.

    Args:
        uniform: Draws a number between two; for tests.
    """

    def __init__(self, uniform: object = None) -> None:
        self._uniform = uniform if callable(uniform) else random.uniform
        self._attempts = 0

    def reset(self) -> None:
        """Begin again: the sink took something."""
        self._attempts = 0

    def delay(self, retry_after: float | None = None) -> float:
        """Return the seconds to wait; ``Retry-After`` is honoured up to five minutes, plus a little jitter."""
        cap = min(LONGEST, SHORTEST * 2 ** min(self._attempts + 1, 16))
        self._attempts += 1
        if retry_after is not None:
            asked = min(max(retry_after, 0.0), LONGEST_ASKED)
            return asked + float(self._uniform(0.0, min(1.0, SHORTEST + asked / 10)))
        return max(SHORTEST, float(self._uniform(0.0, cap)))
