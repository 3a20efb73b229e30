"""What the hosted sink remembers of sessions between batches, processes and restarts."""

from __future__ import annotations

import contextlib
import json
import sqlite3
from collections.abc import Generator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any


_TABLE = """
CREATE TABLE IF NOT EXISTS sessions (
    session_id TEXT PRIMARY KEY, backend_id TEXT NOT NULL, started_ns INTEGER NOT NULL,
    ended_ns INTEGER, end_fields TEXT NOT NULL
) WITHOUT ROWID
"""


@dataclass(slots=True)
class RemoteSession:
    """A session as the backend has it."""

    session_id: str
    """The user's id."""
    backend_id: str
    """The id that the backend gave it; often the same."""
    started_ns: int = 0
    """The time of the last record that opened it; one of that time again is a repetition."""
    ended_ns: int | None = None
    """The time of the record that ended it, or None."""
    end_fields: Mapping[str, Any] = field(default_factory=dict)
    """How it ended, for saying so again after a late event."""


class SessionStates:
    """The sessions that a backend knows from us, in a file beside the sink's book.

    Only the sink's leader among the processes writes; any process may read. A lost or damaged file costs one more
    request for each session: the backend resumes a session of the same id. While the file cannot be written, what is
    to be remembered is kept in memory.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._database: sqlite3.Connection | None = None
        self._unwritten: dict[str, RemoteSession | None] = {}

    @contextlib.contextmanager
    def opened(self) -> Generator[None, None, None]:
        """Hold the file open, in this thread; a connection that outlived a fork would damage it."""
        self._database = self._open()
        try:
            for session_id, session in tuple(self._unwritten.items()):
                self._write(session_id, session)
            yield
        finally:
            database, self._database = self._database, None
            if database is not None:
                database.close()

    def _open(self) -> sqlite3.Connection | None:
        try:
            self._path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
            return _connect(self._path)
        except sqlite3.OperationalError as error:
            if "locked" in str(error):
                raise  # it passes, and the others know more
            return None
        except sqlite3.DatabaseError:
            self._path.unlink()
            return _connect(self._path)
        except OSError:
            return None

    def get(self, session_id: str) -> RemoteSession | None:
        """Return what is known of a session, or None."""
        if session_id in self._unwritten or self._database is None:
            return self._unwritten.get(session_id)
        query = "SELECT backend_id, started_ns, ended_ns, end_fields FROM sessions WHERE session_id = ?"
        row = self._database.execute(query, (session_id,)).fetchone()
        if row is None:
            return None
        backend_id, started_ns, ended_ns, end_fields = row
        return RemoteSession(session_id, backend_id, started_ns, ended_ns, json.loads(end_fields))

    def put(self, session: RemoteSession) -> None:
        """Remember a session."""
        self._write(session.session_id, session)

    def forget(self, session_id: str) -> None:
        """Forget a session that the backend does not know."""
        self._write(session_id, None)

    def _write(self, session_id: str, session: RemoteSession | None) -> None:
        self._unwritten[session_id] = session
        if self._database is None:
            return
        try:
            if session is None:
                self._database.execute("DELETE FROM sessions WHERE session_id = ?", (session_id,))
            else:
                fields = json.dumps(dict(session.end_fields))
                row = (session_id, session.backend_id, session.started_ns, session.ended_ns, fields)
                self._database.execute("INSERT OR REPLACE INTO sessions VALUES (?, ?, ?, ?, ?)", row)
        except sqlite3.OperationalError:
            return  # no room: it stays in memory
        del self._unwritten[session_id]


def _connect(path: Path) -> sqlite3.Connection:
    database = sqlite3.connect(path, timeout=5.0, isolation_level=None)
    try:
        database.execute("PRAGMA synchronous=NORMAL")
        database.execute(_TABLE)
    except sqlite3.Error:
        database.close()
        raise
    return database
