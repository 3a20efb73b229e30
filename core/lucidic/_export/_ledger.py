"""The books: what was produced, and where it went."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal


SinkState = Literal["ok", "waiting", "retrying", "paused", "failed"]


@dataclass(frozen=True, kw_only=True, slots=True)
class SinkHealth:
    """One sink's page: produced = delivered + rejected + dropped + pending, over all processes of the folder."""

    name: str
    state: SinkState = "ok"
    note: str = ""
    """Why the state is not ``ok``."""
    produced: int = 0
    """Spans in the journal that are for this sink, those of deleted segments included."""
    delivered: int = 0
    rejected: int = 0
    """Spans that the sink refused for good; they are kept in the quarantine."""
    dropped: Mapping[str, int] = field(default_factory=dict)
    """Spans given up, by reason."""
    pending: int = 0

    @property
    def unexplained(self) -> int:
        """What the books cannot account for; 0 or there is a bug."""
        return self.produced - self.delivered - self.rejected - sum(self.dropped.values()) - self.pending


@dataclass(frozen=True, kw_only=True, slots=True)
class Health:
    """What became of every span, for ``lai.health()`` and ``lucidic doctor``."""

    produced: int
    """Spans that ended in this process."""
    written: int
    """Of these, spans that reached the disk."""
    memory_spans: int
    """Of these, spans that are only in memory, because the folder cannot be written."""
    memory_bytes: int
    dropped: Mapping[str, int]
    """Spans of this process given up before they reached the journal, by reason."""
    failure: str | None
    """Why the journal cannot be written, or None."""
    sinks: tuple[SinkHealth, ...]
    segments: int
    spool_bytes: int

    @property
    def unexplained(self) -> int:
        """What the books cannot account for: this process's and every sink's."""
        own = self.produced - self.written - self.memory_spans - sum(self.dropped.values())
        return abs(own) + sum(abs(sink.unexplained) for sink in self.sinks)

    @property
    def ok(self) -> bool:
        """Whether nothing is lost, refused or stuck; what is pending on a sound sink is no fault."""
        lost = any(self.dropped.values()) or any(
            any(sink.dropped.values()) or sink.rejected for sink in self.sinks
        )
        stuck = any(sink.state in ("paused", "failed", "retrying") for sink in self.sinks)
        return self.failure is None and not lost and not stuck and not self.unexplained
