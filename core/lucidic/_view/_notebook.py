"""A session as the value of a notebook cell."""

from __future__ import annotations

import io
from collections.abc import Sequence
from pathlib import Path

from lucidic._records import StoredSession
from lucidic._view import _html, _terminal
from lucidic._view._reader import Reader
from lucidic._view._tree import Turn, turns
from lucidic.errors import InvalidOperationError, SessionNotFoundError


class SessionView:
    """What a session held when it was asked for: displays itself in a notebook and prints as text elsewhere.

    Attributes:
        session: The session as the registry knows it.
        turns: Its traces, the oldest first.
    """

    def __init__(self, session: StoredSession, turns: Sequence[Turn]) -> None:
        self.session = session
        self.turns = turns

    def _repr_html_(self) -> str:
        return _html.draw_session(self.session, self.turns)

    def __repr__(self) -> str:
        from rich.console import Console

        screen = Console(
            file=io.StringIO(), width=100, color_system=None, markup=False, emoji=False, force_jupyter=False
        )
        screen.print(_terminal.draw_session(self.session, self.turns))
        drawn: str = screen.file.getvalue()  # type: ignore[attr-defined]
        return "\n".join(line.rstrip() for line in drawn.splitlines())

    def save(self, path: str | Path) -> Path:
        """Write the session as one HTML file that needs nothing else, and return its path."""
        target = Path(path)
        title = self.session.name or self.session.session_id
        target.write_text(_html.draw_page(title, self._repr_html_()), encoding="utf-8")
        return target


def view_session(reader: Reader, session_id: str | None) -> SessionView:
    """Return the view of a session; of the newest one without an id.

    Raises:
        InvalidOperationError: There are no sessions yet.
        SessionNotFoundError: There is no such session.
        StoreError: The local store cannot be read.
    """
    reader.catch_up()
    newest = reader.sessions(limit=1)
    if not newest:
        raise InvalidOperationError(
            "There are no sessions yet. Open one with lai.session(), or run: lucidic demo"
        )
    known = newest[0] if session_id is None else reader.session(session_id)
    if known is None:
        raise SessionNotFoundError(str(session_id), way_out="List the sessions with: lucidic sessions")
    return SessionView(known, turns(reader.spans(known.session_id)))
