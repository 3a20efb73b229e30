"""What the views need from a store."""

from __future__ import annotations

from typing import Protocol

from lucidic._records import SessionState, StoredSession, StoredSpan, StoredTrace


class Reader(Protocol):
    """The reading half of the local store; ``lucidic._export.Store`` has it."""

    def catch_up(self) -> object:
        """Take in what running processes have written to their journals and not yet stored."""

    def close(self) -> None:
        """Close what reading has opened."""

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
        """Return the sessions that match, the newest first."""

    def count_sessions(
        self,
        *,
        name: str | None = None,
        state: SessionState | None = None,
        user_id: str | None = None,
        tag: str | None = None,
    ) -> int:
        """Return how many sessions match."""

    def traces(self, session_id: str, /) -> list[StoredTrace]:
        """Return the sums over each trace of a session, the oldest first."""

    def session(self, session_id: str, /) -> StoredSession | None:
        """Return one session, or None when the id is not known."""

    def spans(
        self,
        session_id: str | None = None,
        *,
        trace_id: str | None = None,
        since_ns: int | None = None,
        unattributed: bool = False,
    ) -> list[StoredSpan]:
        """Return finished spans: a session's, a trace's, those that started since, those of no session."""
