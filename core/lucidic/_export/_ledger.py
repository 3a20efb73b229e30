"""The books: what was produced, and where it went."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Final, Literal


STORE: Final = "store"
"""The local store's name among the sinks."""
NO_SESSION: Final = "no_session"
"""Why a sink that knows only sessions drops a span; it is no loss, for the other sinks have the span."""

SinkState = Literal["ok", "waiting", "retrying", "paused", "failed"]


@dataclass(frozen=True, kw_only=True, slots=True)
class SinkHealth:
    """One sink's page: produced = delivered + rejected + dropped + pending, over all processes of the folder."""

    name: str
    state: SinkState = "ok"
    note: str = ""
    """Why the state is not ``ok``."""
    produced: int = 0
    """Spans that are for this sink: in the journal, deleted segments included, and in this process's memory."""
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

    @property
    def sound(self) -> bool:
        """Whether nothing was lost or refused, the sink answers, and the page balances."""
        given_up = any(number for reason, number in self.dropped.items() if reason != NO_SESSION)
        lost = self.rejected or given_up or self.unexplained
        return not lost and self.state in ("ok", "waiting")

    def in_words(self) -> str:
        """Return the page as half a sentence."""
        parts = [f"{self.pending} pending"] if self.pending else []
        parts += [f"{self.rejected} rejected"] if self.rejected else []
        parts += [f"{number} dropped ({reason})" for reason, number in self.dropped.items()]
        parts += [f"{self.unexplained} unexplained"] if self.unexplained else []
        note = f" ({self.state}: {self.note})" if self.note else ""
        return f"{self.name} {', '.join(parts) or self.state}{note}"


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
    passed: int
    """Of these, spans that every sink took from memory; they never reached the disk."""
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
        return abs(self._unwritten) + sum(abs(sink.unexplained) for sink in self.sinks)

    @property
    def _unwritten(self) -> int:
        return self.produced - self.written - self.memory_spans - self.passed - sum(self.dropped.values())

    @property
    def ok(self) -> bool:
        """Whether nothing is lost, refused or stuck; what is pending on a sound sink is no fault."""
        lost = any(self.dropped.values()) or self._unwritten
        return self.failure is None and not lost and all(sink.sound for sink in self.sinks)

    def in_words(self) -> list[str]:
        """Return what is wrong before any sink, as half sentences."""
        parts = [f"the journal cannot be written ({self.failure})"] if self.failure else []
        parts += [f"{self.memory_spans} only in memory"] if self.memory_spans else []
        parts += [f"{number} dropped ({reason})" for reason, number in self.dropped.items()]
        return parts + ([f"{self._unwritten} unexplained"] if self._unwritten else [])
