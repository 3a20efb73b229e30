"""The one lifecycle manager: it opens and ends sessions, and owns the process's end."""

from __future__ import annotations

import builtins
import os
import sys
import threading
import time
from collections.abc import Callable, Mapping
from typing import Protocol

from lucidic._guard import guarded
from lucidic._records import JSONValue, SessionEvent, SessionRecord
from lucidic._spans import _attributes as keys
from lucidic._spans._state import SpanState


_REMEMBERED_SESSIONS = 50_000


class SessionLog(Protocol):
    """Where changes of sessions go: the exporter."""

    def session_changed(self, record: SessionRecord) -> None: ...


class OpenSession:
    """A session that this process has opened and not ended."""

    __slots__ = ("auto_end", "by_init", "pid", "session_id")

    def __init__(self, session_id: str, *, by_init: bool, auto_end: bool) -> None:
        self.session_id = session_id
        self.by_init = by_init
        self.auto_end = auto_end
        self.pid = os.getpid()


class LifecycleManager:
    """The sessions of this process, from their start to the exit."""

    def __init__(self, log: Callable[[], SessionLog], *, clock: Callable[[], int] = time.time_ns) -> None:
        self._log = log
        self._clock = clock
        self._lock = threading.RLock()  # a signal handler may end a session meanwhile
        self._open: dict[str, OpenSession] = {}
        self._seen: dict[str, None] = {}
        self._finished: dict[str, None] = {}
        self._init_ids: tuple[str, ...] = ()

    def open(
        self,
        session_id: str,
        *,
        source: str,
        fields: Mapping[str, JSONValue],
        by_init: bool = False,
        auto_end: bool = True,
    ) -> None:
        """Write the session's start, and remember to end it."""
        with self._lock:
            self._open[session_id] = OpenSession(session_id, by_init=by_init, auto_end=auto_end)
            self._finished.pop(session_id, None)
            self._remember(session_id)
            self._count_init()
        self._write(session_id, "start", source, {**fields, "auto_end": auto_end})

    def seen(self, session_id: str, source: str, *, auto_end: bool) -> None:
        """Note a session that a span was stamped with; its first span in this process opens it.

        Called for every span, so the usual case is one look into a dict.
        """
        if session_id in self._seen:
            return
        with self._lock:
            if session_id in self._seen:
                return
            self._remember(session_id)
            self._open[session_id] = OpenSession(session_id, by_init=False, auto_end=auto_end)
        self._write(session_id, "start", source, {})

    def update(self, session_id: str, fields: Mapping[str, JSONValue]) -> None:
        """Write what changed in a session."""
        self._write(session_id, "update", "lucidic", fields)

    def end(self, session_id: str, fields: Mapping[str, JSONValue]) -> bool:
        """End a session; False if this process has ended it already."""
        with self._lock:
            if session_id in self._finished:
                return False
            self._open.pop(session_id, None)
            self._finished[session_id] = None
            if len(self._finished) > _REMEMBERED_SESSIONS:
                self._finished.pop(next(iter(self._finished)))
            self._seen.pop(session_id, None)
            self._count_init()
        self._write(session_id, "end", "lucidic", fields)
        return True

    def init_ids(self) -> tuple[str, ...]:
        """Return the sessions that are open through ``init()``."""
        return self._init_ids

    def last_init(self) -> str | None:
        """Return the session that ``init()`` opened last and that is still open."""
        return self._init_ids[-1] if self._init_ids else None

    def is_open(self, session_id: str) -> bool:
        """Tell whether this process has the session open."""
        return session_id in self._open

    def is_finished_here(self, session_id: str) -> bool:
        """Tell whether this process has ended the session."""
        return session_id in self._finished

    def finish(self, open_spans: list[SpanState]) -> None:
        """At exit: end open spans as incomplete, then the sessions that end with the process."""
        with guarded("exit"):
            for state in open_spans:
                end_incomplete(state, "the process ended")
            with self._lock:
                ending = [
                    session.session_id
                    for session in self._open.values()
                    if session.auto_end and session.pid == os.getpid()
                ]
            fields = _uncaught()
            for session_id in reversed(ending):
                self.end(session_id, fields)

    def forked(self) -> None:
        """In a forked child: the parent's sessions stay known, and the parent ends them."""
        self._lock = threading.RLock()

    def _remember(self, session_id: str) -> None:
        self._seen[session_id] = None
        if len(self._seen) > _REMEMBERED_SESSIONS:
            self._seen.pop(next(iter(self._seen)))

    def _count_init(self) -> None:
        self._init_ids = tuple(session.session_id for session in self._open.values() if session.by_init)

    def _write(
        self, session_id: str, event: SessionEvent, source: str, fields: Mapping[str, JSONValue]
    ) -> None:
        with guarded("session record"):
            self._log().session_changed(
                SessionRecord(
                    session_id=session_id,
                    event=event,
                    time_ns=self._clock(),
                    source=source,
                    fields={name: value for name, value in fields.items() if value is not None},
                )
            )


def end_incomplete(state: SpanState, why: str) -> None:
    """End a span that nobody ended, as what it is."""
    from opentelemetry.trace import Status, StatusCode

    state.span.set_attribute(keys.INCOMPLETE, value=True)
    state.span.set_status(Status(StatusCode.ERROR, why))
    state.span.end()


def _uncaught() -> dict[str, JSONValue]:
    """Read the uncaught error that ends the process, without a hook of ours; a notebook keeps old ones."""
    if hasattr(builtins, "__IPYTHON__"):
        return {}
    error = getattr(sys, "last_exc", None) or getattr(sys, "last_value", None)
    if error is None:
        return {}
    return {"is_successful": False, "is_successful_reason": f"Uncaught {type(error).__name__}"}
