"""The one lifecycle manager: it opens and ends sessions, and owns the process's end."""

from __future__ import annotations

import builtins
import sys
import threading
import time
from collections.abc import Callable, Mapping
from typing import Protocol

from lucidic._guard import guarded
from lucidic._records import JSONValue, SessionEvent, SessionRecord
from lucidic._spans import _attributes as keys
from lucidic._spans._live import summary_of
from lucidic._spans._privacy import Privacy
from lucidic._spans._state import SpanState, is_open


_REMEMBERED_SESSIONS = 50_000
_ATTACHED = ("bound", "parent", "init")
"""Sources of a session that somebody else opens and ends."""
_IDS = ("user_id", "agent_id", "mass_sim_id", "experiment_id", "dataset_item_id")
"""Session fields that hold no content."""


class SessionLog(Protocol):
    """Where changes of sessions go: the exporter."""

    def session_changed(self, record: SessionRecord) -> None: ...


class OpenSession:
    """A session that this process has opened and not ended."""

    __slots__ = ("auto_end", "blocks", "by_init", "session_id")

    def __init__(self, session_id: str, *, by_init: bool, auto_end: bool) -> None:
        self.session_id = session_id
        self.by_init = by_init
        self.auto_end = auto_end
        self.blocks = 0
        """Blocks of ``session()`` that are open on it, in all tasks and threads; the last one ends it."""


class LifecycleManager:
    """The sessions of this process, from their start to the exit."""

    def __init__(
        self,
        log: Callable[[], SessionLog],
        *,
        privacy: Callable[[], Privacy],
        clock: Callable[[], int] = time.time_ns,
    ) -> None:
        self._log = log
        self._privacy = privacy
        self._clock = clock
        self.before_end: Callable[[str], None] | None = None
        """Called with a session's id before its end is written: closes its open steps and events."""
        self._lock = threading.RLock()  # a signal handler may end a session meanwhile
        self._open: dict[str, OpenSession] = {}
        self._seen: dict[str, None] = {}
        self._finished: dict[str, None] = {}
        self._by_init: dict[str, None] = {}
        """Kept apart from what is open, of which frameworks may hold many thousands."""
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
            known = self._open.get(session_id)
            session = OpenSession(session_id, by_init=by_init, auto_end=auto_end)
            session.blocks = 0 if known is None else known.blocks
            self._open.pop(session_id, None)  # the last one opened is the last in order
            self._open[session_id] = session
            self._by_init.pop(session_id, None)
            if by_init:
                self._by_init[session_id] = None
            self._count_init()
            self._finished.pop(session_id, None)
            self._remember(session_id)
        self._write(session_id, "start", source, {**fields, "auto_end": auto_end})

    def enter(self, session_id: str, fields: Mapping[str, JSONValue]) -> None:
        """Open a session for a block; several blocks may hold one session."""
        with self._lock:
            known = self._open.get(session_id)
            if known is None:
                self.open(session_id, source="session", fields=fields)
            self._open[session_id].blocks += 1
        if known is not None and any(value is not None for value in fields.values()):
            self.update(session_id, fields)

    def leave(self, session_id: str, fields: Mapping[str, JSONValue]) -> None:
        """Leave a block of a session; the last one ends it, unless it was ended inside."""
        with self._lock:
            known = self._open.get(session_id)
            if known is None:
                return
            known.blocks -= 1
            if known.blocks > 0:
                return
        self.end(session_id, fields, source="failure" if fields else "lucidic")

    def seen(self, session_id: str, source: str, *, auto_end: bool) -> None:
        """Note a session that a span was stamped with; its first span in this process writes it down.

        Called for every span, so the usual case is one look into a dict. A framework's id or a handler's
        opens the session. One that is only attached to (``bind_session`` and its like) is not ours to
        end, and a late span of a session that has ended does not open it again.
        """
        if session_id in self._seen:
            return
        attached = source in _ATTACHED
        if attached and session_id in self._finished:
            return
        with self._lock:
            if session_id in self._seen:
                return
            self._remember(session_id)
            if not attached:
                self._finished.pop(session_id, None)
                self._open[session_id] = OpenSession(session_id, by_init=False, auto_end=auto_end)
        self._write(session_id, "update" if attached else "start", source, {})

    def update(self, session_id: str, fields: Mapping[str, JSONValue]) -> None:
        """Write what changed in a session."""
        self._write(session_id, "update", "lucidic", fields)

    def end(self, session_id: str, fields: Mapping[str, JSONValue], *, source: str = "lucidic") -> bool:
        """End a session; False if this process has ended it already. ``failure`` is the source of an error's verdict."""
        if session_id in self._finished:
            return False
        if self.before_end is not None:
            with guarded("session end"):
                self.before_end(session_id)
        with self._lock:
            if session_id in self._finished:
                return False
            self._open.pop(session_id, None)
            self._finished[session_id] = None
            if len(self._finished) > _REMEMBERED_SESSIONS:
                self._finished.pop(next(iter(self._finished)))
            self._seen.pop(session_id, None)
            self._by_init.pop(session_id, None)
            self._count_init()
        self._write(session_id, "end", source, fields)
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

    @property
    def has_ended_any(self) -> bool:
        """True once this process has ended a session."""
        return bool(self._finished)

    def open_ids(self) -> tuple[str, ...]:
        """Return the sessions that this process has open."""
        return tuple(self._open)

    def is_finished_here(self, session_id: str) -> bool:
        """Tell whether this process has ended the session."""
        return session_id in self._finished

    def finish(self, open_spans: list[SpanState], *, capture_uncaught: bool = True) -> None:
        """At exit: end open spans as incomplete, then the sessions that end with the process."""
        with guarded("exit"):
            if self.before_end is not None:
                for session_id in self.open_ids():
                    self.before_end(session_id)
            for state in open_spans:
                end_incomplete(state, "the process ended")
            with self._lock:
                ending = [session.session_id for session in self._open.values() if session.auto_end]
            fields = _uncaught() if capture_uncaught else {}
            for session_id in reversed(ending):
                self.end(session_id, fields, source="failure" if fields else "lucidic")

    def forked(self) -> None:
        """In a forked child: the parent's sessions go on, and are the parent's to end."""
        self._lock = threading.RLock()
        for session in self._open.values():
            session.auto_end = False

    def _remember(self, session_id: str) -> None:
        self._seen[session_id] = None
        if len(self._seen) > _REMEMBERED_SESSIONS:
            self._seen.pop(next(iter(self._seen)))

    def _count_init(self) -> None:
        self._init_ids = tuple(self._by_init)

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
                    fields=self._private(fields),
                )
            )

    def _private(self, fields: Mapping[str, JSONValue]) -> dict[str, JSONValue]:
        """Leave out what is not set, and mask what is text and no id."""
        given: dict[str, JSONValue] = {name: value for name, value in fields.items() if value is not None}
        privacy = self._privacy()
        if not privacy.active:
            return given
        return {name: value if name in _IDS else _masked(value, privacy) for name, value in given.items()}


def failure(error: BaseException) -> dict[str, JSONValue]:
    """Return the fields of a session that an error ended; empty for what is no failure."""
    if isinstance(error, GeneratorExit) or (isinstance(error, SystemExit) and not error.code):
        return {}
    return {"is_successful": False, "is_successful_reason": summary_of(error)}


def _masked(value: JSONValue, privacy: Privacy) -> JSONValue:
    if isinstance(value, str):
        return privacy.text(value)
    if isinstance(value, list):
        return [_masked(item, privacy) for item in value]
    if isinstance(value, dict):
        return {key: _masked(item, privacy) for key, item in value.items()}
    return value


def end_incomplete(state: SpanState, why: str) -> None:
    """End a span that nobody ended, as what it is."""
    from opentelemetry.trace import Status, StatusCode

    span = state.span
    if is_open(span):
        span.set_attribute(keys.INCOMPLETE, value=True)
        span.set_status(Status(StatusCode.ERROR, why))
        span.end()


def _uncaught() -> dict[str, JSONValue]:
    """Read the uncaught error that ends the process, without a hook of ours; a notebook keeps old ones."""
    if hasattr(builtins, "__IPYTHON__"):
        return {}
    error = getattr(sys, "last_exc", None) or getattr(sys, "last_value", None)
    return failure(error) if isinstance(error, BaseException) else {}
