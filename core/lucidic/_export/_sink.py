"""What a sink is."""

from __future__ import annotations

from typing import Protocol


class Sink(Protocol):
    """A place that spans are delivered to."""

    @property
    def name(self) -> str:
        """The name of the sink and its target; the cursor is kept under it."""
        ...
