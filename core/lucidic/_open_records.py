"""The steps and events that are open: each a span that explicit calls start, update and end."""

from __future__ import annotations

import uuid
from collections.abc import Mapping
from contextvars import ContextVar
from typing import Any

from opentelemetry import context as otel_context
from opentelemetry import trace
from opentelemetry.context import Context

from lucidic._spans._live import LiveSpan
from lucidic._spans._state import is_open


class Record:
    """An open step or event."""

    __slots__ = ("_attached", "_outer", "id", "live", "previous", "what")

    def __init__(self, what: str, live: LiveSpan, previous: Record | None) -> None:
        self.id = str(uuid.uuid4())
        self.what = what
        """``step`` or ``event``."""
        self.live = live
        self.previous = previous
        """The one that was the innermost of its kind before."""
        self._outer: Context | None = None
        self._attached: Context | None = None

    @property
    def is_open(self) -> bool:
        """False once ended, by whomever."""
        return is_open(self.live.span)

    def make_current(self) -> None:
        """Make the span current here: what follows hangs below it."""
        self._outer = otel_context.get_current()
        self._attached = self.live.context
        otel_context.attach(self._attached)

    def end(self, *, error: BaseException | None = None, attributes: Mapping[str, Any] | None = None) -> None:
        """End the span; where it is current, the one before is current again. Harmless twice."""
        self.live.end(error=error, attributes=attributes)
        outer, self._outer = self._outer, None
        if outer is None:
            return
        current = otel_context.get_current()
        if current is self._attached:
            otel_context.attach(outer)
        elif trace.get_current_span(current) is self.live.span:
            otel_context.attach(trace.set_span_in_context(trace.get_current_span(outer), current))
        self._attached = None


_innermost: dict[str, ContextVar[Record | None]] = {
    "step": ContextVar("lucidic_step", default=None),
    "event": ContextVar("lucidic_event", default=None),
}


def innermost(what: str) -> Record | None:
    """Return the innermost open step or event of this context."""
    record = _innermost[what].get()
    while record is not None and not record.is_open:
        record = record.previous
    return record


class OpenRecords:
    """The open steps and events of a process, by id."""

    def __init__(self) -> None:
        self._open: dict[str, Record] = {}

    def add(self, what: str, live: LiveSpan) -> Record:
        """Keep a new record, as the innermost of its kind here."""
        record = Record(what, live, innermost(what))
        _innermost[what].set(record)
        self._open[record.id] = record
        return record

    def find(self, what: str, record_id: str) -> Record | None:
        """Return the open record of an id."""
        record = self._open.get(record_id)
        return record if record is not None and record.what == what and record.is_open else None

    def close(
        self,
        record: Record,
        *,
        error: BaseException | None = None,
        attributes: Mapping[str, Any] | None = None,
    ) -> None:
        """End a record and what is open below it."""
        for other in reversed(list(self._open.values())):
            if other is not record and _is_below(other, record):
                self.close(other)
        record.end(error=error, attributes=attributes)
        self._open.pop(record.id, None)

    def close_session(self, session_id: str) -> None:
        """End everything that is open in a session, the innermost first."""
        for record in reversed(list(self._open.values())):
            if record.live.session_id == session_id or not record.is_open:
                self.close(record)


def _is_below(inner: Record, outer: Record) -> bool:
    state, above = inner.live.state, outer.live.state
    return state is not None and above is not None and state is not above and state.is_inside(above)
