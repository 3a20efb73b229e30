"""Capture what an agent's run leaves, in memory, without touching the disk."""

from __future__ import annotations

from collections.abc import Generator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, cast

from opentelemetry.sdk.trace import ReadableSpan

from lucidic import _binding
from lucidic._config import Settings
from lucidic._records import SessionRecord
from lucidic._runtime import Runtime, replace_runtime
from lucidic._spans._attributes import LUCIDIC_SESSION_ID


if TYPE_CHECKING:
    from lucidic._export import Exporter, Sink


class CapturedSpans:
    """Finished spans and session records, in the order in which they came."""

    def __init__(self) -> None:
        self.started: list[ReadableSpan] = []
        self.spans: list[ReadableSpan] = []
        self.sessions: list[SessionRecord] = []

    def span_started(self, span: ReadableSpan) -> None:
        """Keep a started span."""
        self.started.append(span)

    def span_ended(self, span: ReadableSpan) -> None:
        """Keep a finished span."""
        self.spans.append(span)

    def session_changed(self, record: SessionRecord) -> None:
        """Keep a session record."""
        self.sessions.append(record)

    def flush(self, timeout: float = 30.0) -> bool:  # the exporter's signature
        """Return True: nothing is pending in memory."""
        return True

    def shutdown(self, timeout: float = 2.0) -> bool:  # the exporter's signature
        """Return True: there is nothing to deliver."""
        return True

    def add_sink(self, sink: Sink) -> None:
        """Take no notice of a sink: what is captured goes nowhere else."""

    def clear(self) -> None:
        """Forget what was captured so far."""
        self.started.clear()
        self.spans.clear()
        self.sessions.clear()

    def named(self, name: str) -> ReadableSpan:
        """Return the one span of that name.

        Raises:
            AssertionError: There is none, or more than one.

        """
        found = [span for span in self.spans if span.name == name]
        if len(found) != 1:
            names = ", ".join(sorted(span.name for span in self.spans)) or "none"
            raise AssertionError(f"{len(found)} spans are named {name!r}; captured: {names}")
        return found[0]

    def session_ids(self) -> dict[str, str | None]:
        """Return the session of each span by span name (the last one of a name)."""
        return {span.name: session_id_of(span) for span in self.spans}


def session_id_of(span: ReadableSpan) -> str | None:
    """Return the session that a span carries."""
    value: Any = (span.attributes or {}).get(LUCIDIC_SESSION_ID)
    return value if isinstance(value, str) else None


@contextmanager
def capture_spans(**settings: Any) -> Generator[CapturedSpans, None, None]:
    """Record in memory inside the block, with a pipeline of its own, and put the old one back after.

    Args:
        **settings: Settings for the block, for example ``masking_function=…`` or ``session_from=…``.

    """
    captured = CapturedSpans()
    new = Runtime(Settings.load().with_arguments(**settings))
    new.use_exporter(cast("Exporter", captured))
    old = replace_runtime(new)
    new.provider()
    try:
        yield captured
    finally:
        new.close()
        replace_runtime(old)
        _binding.clear_all()
