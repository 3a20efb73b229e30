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
    request for each session: the backend resumes a session of the same id.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._database: sqlite3.Connection | None = None

    @contextlib.contextmanager
    def opened(self) -> Generator[None, None, None]:
        """Hold the file open, in this thread; a connection that outlived a fork would damage it."""
        self._path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        try:
            self._database = _connect(self._path)
        except sqlite3.OperationalError:
            raise  # locked, or no room: it passes
        except sqlite3.DatabaseError:
            self._path.unlink()
            self._database = _connect(self._path)
        try:
            yield
        finally:
            database, self._database = self._database, None
            database.close()

    def get(self, session_id: str) -> RemoteSession | None:
        """Return what is known of a session, or None."""
        row = (
            self._connection()
            .execute(
                "SELECT backend_id, started_ns, ended_ns, end_fields FROM sessions WHERE session_id = ?",
                (session_id,),
            )
            .fetchone()
        )
        if row is None:
            return None
        backend_id, started_ns, ended_ns, end_fields = row
        return RemoteSession(session_id, backend_id, started_ns, ended_ns, json.loads(end_fields))

    def put(self, session: RemoteSession) -> None:
        """Remember a session."""
        self._connection().execute(
            "INSERT OR REPLACE INTO sessions VALUES (?, ?, ?, ?, ?)",
            (
                session.session_id,
                session.backend_id,
                session.started_ns,
                session.ended_ns,
                json.dumps(dict(session.end_fields)),
            ),
        )

    def forget(self, session_id: str) -> None:
        """Forget a session that the backend does not know."""
        self._connection().execute("DELETE FROM sessions WHERE session_id = ?", (session_id,))

    def _connection(self) -> sqlite3.Connection:
        assert self._database is not None  # noqa: S101 - every caller is within opened()
        return self._database


def _connect(path: Path) -> sqlite3.Connection:
    database = sqlite3.connect(path, timeout=5.0, isolation_level=None)
    try:
        database.execute("PRAGMA synchronous=NORMAL")
        database.execute(_TABLE)
    except sqlite3.Error:
        database.close()
        raise
    return database
