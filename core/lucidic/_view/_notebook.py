"""A session as the value of a notebook cell."""

from __future__ import annotations

import io
import time
from collections.abc import Callable, Sequence
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
        self.is_displayed: Callable[[], bool] = lambda: False
        """Whether the cell that runs shows it already, so that its value need not."""

    @property
    def version(self) -> object:
        """What changes whenever there is something new to see."""
        return self.session

    def _ipython_display_(self) -> None:
        if not self.is_displayed():
            raise NotImplementedError  # IPython displays it as any other value

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
        target.write_text(_html.draw_file([(self.session, self.turns)]), encoding="utf-8")
        return target


def view_session(reader: Reader, session_id: str | None, *, begins: bool = False) -> SessionView:
    """Return the view of a session; of the newest one without an id.

    Args:
        reader: The store.
        session_id: The session.
        begins: A session that is not known yet is about to begin, and is shown as an empty one.

    Raises:
        InvalidOperationError: There are no sessions yet.
        SessionNotFoundError: There is no such session.
        StoreError: The local store cannot be read.
    """
    reader.catch_up()
    if session_id is None:
        newest = reader.sessions(limit=1)
        if not newest:
            raise InvalidOperationError(
                "There are no sessions yet. Open one with lai.session(), or run: lucidic demo"
            )
        session_id = newest[0].session_id
    known = reader.session(session_id)
    if known is None and begins:
        return SessionView(_unborn(session_id), [])
    if known is None:
        raise SessionNotFoundError(session_id, way_out="List the sessions with: lucidic sessions")
    return SessionView(known, turns(reader.spans(known.session_id)))


def _unborn(session_id: str) -> StoredSession:
    return StoredSession(
        session_id=session_id,
        name=None,
        state="active",
        source="bind",
        owner="",
        started_ns=time.time_ns(),
        ended_ns=None,
        fields={},
    )
