"""Show sessions: in a terminal, as JSON, in a notebook."""

from __future__ import annotations

from contextlib import closing
from typing import TYPE_CHECKING

from lucidic._view._frame import to_dataframe
from lucidic._view._reader import Reader


if TYPE_CHECKING:
    from lucidic._view._notebook import SessionView

__all__ = ["Reader", "show", "to_dataframe"]


def show(session_id: str | None = None) -> SessionView:
    """Return a session to look at; in a notebook, display it.

    A notebook's display follows the session while the cell runs, where the front end can update it: call it as
    soon as the session is open. Elsewhere ``print`` writes the session as text.

    Reads the local store, with everything in it that this and other processes have recorded so far.

    Args:
        session_id: Which session; by default the one bound here, and where none is bound, the newest.

    Raises:
        InvalidOperationError: There are no sessions yet.
        SessionNotFoundError: There is no such session.
        StoreError: The local store cannot be read.

    """
    from lucidic._active import current_session_id
    from lucidic._runtime import runtime
    from lucidic._view._live_display import notebook, show_live

    active = current_session_id()
    shell = notebook()
    if shell is None:
        return read_session(session_id if session_id is not None else active)
    view = read_session(session_id if session_id is not None else active, begins=active)
    chosen = view.session.session_id
    return show_live(chosen, lambda: read_session(chosen, begins=chosen), shell, runtime().exporter)


def read_session(session_id: str | None, *, begins: str | None = None) -> SessionView:
    """Read a session as the local store has it by now; ``begins`` may be unknown, and is empty then."""
    from lucidic._export import Store
    from lucidic._runtime import runtime
    from lucidic._view._notebook import view_session

    with closing(Store(runtime().settings.home)) as reader:
        return view_session(reader, session_id, begins=session_id == begins)
