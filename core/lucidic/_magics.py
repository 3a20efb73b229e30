"""IPython's magic ``%session``, and ``%%session`` for a cell that shows it; imported by ``%load_ext lucidic``."""

from __future__ import annotations

import argparse
import shlex
from typing import Any, Final, NoReturn

from IPython.core.error import UsageError

from lucidic._active import current_session_id, set_active_session
from lucidic._api import init
from lucidic._guard import guarded
from lucidic._ids import new_session_id
from lucidic._lifecycle import failure
from lucidic._manage import end_session, get_session, update_session
from lucidic._runtime import runtime
from lucidic._view import show
from lucidic.errors import LucidicError


_CELL: Final = "%%session"
_loaded: dict[int, SessionMagic] = {}


class _Parser(argparse.ArgumentParser):
    """The options of a magic: what is wrong with them is one line in the cell's output."""

    def error(self, message: str) -> NoReturn:
        raise UsageError(f"%session: {message}")


def _parser() -> _Parser:
    parser = _Parser("%session", add_help=False)
    add = parser.add_argument
    add("name", nargs="*", help="A name for people; the same name in a later cell goes on with the session.")
    add("--id", dest="session_id", help="Open, or go on with, the session of this id.")
    add("--user", dest="user_id", help="The user's id.")
    add("--tag", dest="tags", action="append", help="A tag; may be repeated.")
    add("--task", help="What the session is for.")
    add("--new", action="store_true", help="Begin another session, also where the name is known.")
    add("--end", action="store_true", help="End the session: now, or with the cell that it is entered for.")
    add("--quiet", action="store_true", help="Show nothing.")
    add("--cell", action="store_true", help=argparse.SUPPRESS)
    return parser


class SessionMagic:
    """Enters sessions from cells."""

    def __init__(self, shell: Any) -> None:
        self._shell = shell
        self._parser = _parser()
        self._by_name: dict[str, str] = {}
        self._ends_with_cell: str | None = None

    def session(self, line: str, cell: str | None = None) -> None:
        """Enter a session: it holds in this cell and the next ones, until another one is entered or it ends.

        ``%%session NAME`` as a cell's first line also shows the session, live while the cell runs; such a cell may
        await, and its last value is displayed as ever. ``%session`` alone says which session is active.
        """
        try:
            given = self._parser.parse_args(shlex.split(line))
        except ValueError as error:
            raise UsageError(f"%session: {error}") from None
        given.name = " ".join(given.name)
        try:
            self._run(given, is_cell=given.cell or cell is not None)
        except LucidicError as error:
            raise UsageError(str(error)) from None
        if cell is not None:
            # Only where another magic calls this one; else the cell's first line is a line of its own by now.
            self._shell.run_cell(cell)

    def _run(self, given: argparse.Namespace, *, is_cell: bool) -> None:
        if given.end and not is_cell:
            end_session(given.session_id or self._by_name.get(given.name))
        elif is_cell or given.name or given.session_id:
            chosen = self._enter(given)
            if is_cell and given.end:
                self._ends_with_cell = chosen
            if not given.quiet:
                show(chosen) if is_cell else print(_active())  # noqa: T201 - a magic's answer is what it prints
        else:
            print(_active())  # noqa: T201 - as above

    def _enter(self, given: argparse.Namespace) -> str:
        """Bind the session of that id or name, and open it unless it is open; return its id."""
        known = given.session_id or (None if given.new else self._by_name.get(given.name))
        if known is not None and runtime().lifecycle.is_open(known):
            set_active_session(known)
            update_session(
                known,
                session_name=given.name or None,
                user_id=given.user_id,
                tags=given.tags,
                task=given.task,
            )
        else:
            known = init(
                given.name or None,
                session_id=given.session_id or new_session_id(),
                user_id=given.user_id,
                tags=given.tags,
                task=given.task,
            )
        if given.name:
            self._by_name[given.name] = known
        return known

    def cell_ended(self, result: Any) -> None:
        """End the session that was to end with the cell; unsuccessful if the cell raised."""
        ending, self._ends_with_cell = self._ends_with_cell, None
        if ending is None:
            return
        with guarded("notebook"):
            error = getattr(result, "error_before_exec", None) or getattr(result, "error_in_exec", None)
            said: dict[str, Any] = {} if error is None else failure(error)
            end_session(ending, **said)


def _active() -> str:
    chosen = current_session_id()
    if chosen is None:
        return "No session is active here. Enter one with: %session NAME"
    known = get_session(chosen)
    return f"Session {chosen}" if known is None or not known.name else f"Session {known.name} ({chosen})"


def _first_line(lines: list[str]) -> list[str]:
    """Make ``%%session …`` a line of its own: the rest stays a usual cell, which may await and has a value."""
    if not lines or lines[0].split(maxsplit=1)[:1] != [_CELL]:
        return lines
    return [f"%session --cell{lines[0][len(_CELL) :]}", *lines[1:]]


def load(shell: Any) -> None:
    """Register the magic; a second time does nothing."""
    if id(shell) in _loaded:
        return
    magic = _loaded[id(shell)] = SessionMagic(shell)

    def session(line: str, cell: str | None = None) -> None:
        magic.session(line, cell)

    session.__doc__ = f"{SessionMagic.session.__doc__}\n{_parser().format_help()}"  # what `%session?` shows
    shell.register_magic_function(session, "line_cell", "session")
    shell.input_transformers_cleanup.append(_first_line)
    shell.events.register("post_run_cell", magic.cell_ended)


def unload(shell: Any) -> None:
    """Take away what ``load`` registered; sessions that are open stay so."""
    magic = _loaded.pop(id(shell), None)
    if magic is None:
        return
    shell.input_transformers_cleanup.remove(_first_line)
    shell.events.unregister("post_run_cell", magic.cell_ended)
    for kind in ("line", "cell"):
        shell.magics_manager.magics[kind].pop("session", None)
