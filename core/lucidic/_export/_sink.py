"""What a sink is, what it is given and what it answers."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any, Literal, Protocol, runtime_checkable

from lucidic._export._encode import encode_request
from lucidic._export._payload import UNKNOWN_ORIGIN, Origin, SpanEntry
from lucidic._records import SessionRecord


@dataclass(frozen=True, slots=True)
class Batch:
    """What a sink is asked to take, in the order in which it was written."""

    items: tuple[SpanEntry | SessionRecord, ...]
    origins: Mapping[bytes, Origin]

    @property
    def spans(self) -> tuple[SpanEntry, ...]:
        """The spans alone."""
        return tuple(item for item in self.items if isinstance(item, SpanEntry))

    def part(self, start: int, stop: int) -> Batch:
        """Return a batch of some of the items."""
        return Batch(self.items[start:stop], self.origins)

    def origin(self, entry: SpanEntry) -> Origin:
        """Return where a span comes from."""
        return self.origins.get(entry.origin, UNKNOWN_ORIGIN)

    def translated(self, change: Callable[[SpanEntry], SpanEntry]) -> Batch:
        """Return a batch whose spans are changed."""
        items = tuple(change(item) if isinstance(item, SpanEntry) else item for item in self.items)
        return Batch(items, self.origins)

    def request(self) -> bytes:
        """Encode the spans as an OTLP ``ExportTraceServiceRequest``."""
        grouped: dict[tuple[bytes, str], dict[tuple[bytes, str], list[bytes]]] = {}
        for entry in self.spans:
            origin = self.origin(entry)
            scopes = grouped.setdefault((origin.resource, origin.resource_schema), {})
            scopes.setdefault((origin.scope, origin.scope_schema), []).append(entry.data)
        return encode_request(
            (
                resource,
                schema,
                [(scope, scope_schema, spans) for (scope, scope_schema), spans in scopes.items()],
            )
            for (resource, schema), scopes in grouped.items()
        )


Answer = Literal["ok", "retry", "paused"]


@dataclass(slots=True)
class Outcome:
    """What a sink did with a batch."""

    taken: int = 0
    """So many items from the batch's beginning are dealt with: delivered, rejected or dropped."""
    delivered: int = 0
    """Spans of these that the sink acknowledged."""
    rejected: int = 0
    """Spans of these that the sink refused for good."""
    refused: list[tuple[SpanEntry, str]] = field(default_factory=list)
    """Spans that go to the quarantine, with the reason."""
    dropped: list[tuple[SpanEntry, str]] = field(default_factory=list)
    """Spans of these that are not for this sink, with the reason under which they are counted."""
    answer: Answer = "ok"
    """What about the rest: ``retry`` later, or ``paused`` until somebody mends the configuration."""
    note: str = ""
    """Why not ``ok``."""
    retry_after: float | None = None
    """Seconds that the sink asked to wait."""


class Sink(Protocol):
    """A place that spans are delivered to. Each sink has a thread of its own; it may block and raise.

    ``name`` says the sink and its target; the cursor is kept under it, so it is the same in every process that
    delivers to that target. It is a file name: letters, digits, dots, dashes and underscores.
    """

    @property
    def name(self) -> str:
        """The name of the sink and its target."""
        ...

    def deliver(self, batch: Batch, timeout: float) -> Outcome:
        """Deliver a batch within about ``timeout`` seconds and say what became of it."""
        ...

    def close(self) -> None:
        """Free what the sink holds; it may be used again later."""
        ...


@runtime_checkable
class Renewable(Protocol):
    """A sink that can take another one's credentials while it works."""

    def renew(self, other: Any) -> None:
        """Go on with the credentials of a sink of the same name; called from any thread."""
        ...


@runtime_checkable
class Interruptible(Protocol):
    """A sink whose delivery another thread can break off, so that it is tried again on a new connection."""

    def interrupt(self) -> None:
        """Make the delivery that is under way fail at once; takes no lock, and does nothing where none is."""
        ...


def span_count(items: Iterable[object]) -> int:
    """Count the spans among a batch's items."""
    return sum(isinstance(item, SpanEntry) for item in items)
