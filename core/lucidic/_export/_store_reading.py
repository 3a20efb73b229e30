"""The reading half of the local store."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager

import sqlalchemy as sa

from lucidic._export._sink import Batch
from lucidic._export._store_read import (
    count_sessions,
    read_batches,
    read_session,
    read_sessions,
    read_spans,
    read_traces,
)
from lucidic._records import SessionState, StoredSession, StoredSpan, StoredTrace


class Reading:
    """What can be asked of the store; each question is a transaction of its own."""

    def _read(self) -> AbstractContextManager[sa.Connection]:
        raise NotImplementedError

    def sessions(
        self,
        *,
        name: str | None = None,
        state: SessionState | None = None,
        since_ns: int | None = None,
        until_ns: int | None = None,
        user_id: str | None = None,
        tag: str | None = None,
        limit: int | None = None,
        offset: int = 0,
    ) -> list[StoredSession]:
        """Return the sessions that match everything given, the newest first.

        Args:
            name: The session's exact name.
            state: ``active``, ``finished`` or ``died``.
            since_ns: Only sessions that started at this time or later; nanoseconds since the epoch.
            until_ns: Only sessions that started before this time.
            user_id: The user of the session.
            tag: One of the session's tags.
            limit: At most so many; None for all.
            offset: Leave out so many of the newest.

        Raises:
            StoreError: The database cannot be read.
        """
        wanted = {"name": name, "state": state, "user_id": user_id}
        with self._read() as connection:
            return read_sessions(
                connection,
                {key: value for key, value in wanted.items() if value is not None},
                times=(since_ns, until_ns),
                tag=tag,
                page=(limit, offset),
            )

    def session(self, session_id: str) -> StoredSession | None:
        """Return one session, or None if it is not known.

        Raises:
            StoreError: The database cannot be read.
        """
        with self._read() as connection:
            return read_session(connection, session_id)

    def count_sessions(
        self,
        *,
        name: str | None = None,
        state: SessionState | None = None,
        user_id: str | None = None,
        tag: str | None = None,
    ) -> int:
        """Return how many sessions match; arguments as for ``sessions``.

        Raises:
            StoreError: The database cannot be read.
        """
        wanted = {"name": name, "state": state, "user_id": user_id}
        given = {key: value for key, value in wanted.items() if value is not None}
        with self._read() as connection:
            return count_sessions(connection, given, tag=tag)

    def traces(self, session_id: str) -> list[StoredTrace]:
        """Return the sums over each trace of a session, the oldest first, without reading its spans.

        Raises:
            StoreError: The database cannot be read.
        """
        with self._read() as connection:
            return read_traces(connection, session_id)

    def spans(
        self,
        session_id: str | None = None,
        *,
        trace_id: str | None = None,
        since_ns: int | None = None,
        unattributed: bool = False,
    ) -> list[StoredSpan]:
        """Return finished spans by start time; with no argument, all.

        Args:
            session_id: Only this session's.
            trace_id: Only this trace's; 32 hex digits.
            since_ns: Only spans that started at this time or later; nanoseconds since the epoch.
            unattributed: Only spans without a session.

        Raises:
            StoreError: The database cannot be read.
        """
        with self._read() as connection:
            return read_spans(connection, session_id, trace_id, since_ns, unattributed=unattributed)

    def batches(
        self,
        session_ids: Sequence[str] = (),
        *,
        since_ns: int | None = None,
        until_ns: int | None = None,
        size: int = 512,
    ) -> Iterator[Batch]:
        """Yield spans as they were written, for delivering them again; arguments as for ``spans``.

        Raises:
            StoreError: The database cannot be read.
        """
        with self._read() as connection:
            yield from read_batches(connection, session_ids, (since_ns, until_ns), size)
