"""What the commands share: the store, the console, and errors that say the way out."""

from __future__ import annotations

import json
import re
import threading
import time
from collections.abc import Callable, Generator
from contextlib import closing, contextmanager
from datetime import datetime
from pathlib import Path
from typing import Any, Final

import click
from rich.console import Console, RenderableType

from lucidic._records import StoredSession
from lucidic._view import Reader
from lucidic.errors import ConfigurationError, StoreError


_UNITS_NS: Final = {"s": 10**9, "m": 60 * 10**9, "h": 3600 * 10**9, "d": 86_400 * 10**9, "w": 604_800 * 10**9}
_MAX_WIDTH: Final = 120
_SLOW_S: Final = 1.0
_PLAIN_SIGNS: Final = str.maketrans({"·": "|", "→": "->", "✗": "x", "…": "..."})

as_json = click.option("--json", "as_json", is_flag=True, help="Print JSON.")


class NotThereError(click.ClickException):
    """Raised when what is asked for does not exist."""

    exit_code = 1


class UnreadableError(click.ClickException):
    """Raised when the store or its folder cannot be used."""

    exit_code = 3


@contextmanager
def store() -> Generator[Reader, None, None]:
    """Open the local store, with everything in it that running processes have written so far.

    Raises:
        UnreadableError: The store or its folder cannot be read, and what to do about it.
    """
    try:
        with closing(_open()) as reader:
            _catch_up(reader)
            yield reader
    except StoreError as error:
        said = str(error).rstrip(".")
        raise UnreadableError(f"{said}. {_advice(error)}") from error
    except ConfigurationError as error:
        raise UnreadableError(str(error)) from error


def _catch_up(reader: Reader) -> None:
    try:
        with told_if_slow("Reading what the journal holds …"):
            reader.catch_up()
    except OSError as error:
        raise StoreError(str(error)) from error


@contextmanager
def told_if_slow(what: str) -> Generator[None, None, None]:
    """Say on a terminal what takes longer than a second."""
    screen = Console(stderr=True)
    if not screen.is_terminal:
        yield
        return
    status = screen.status(what)
    timer = threading.Timer(_SLOW_S, status.start)
    timer.daemon = True
    timer.start()
    try:
        yield
    finally:
        timer.cancel()
        timer.join()
        status.stop()


def _advice(error: BaseException) -> str:
    """Return the way out of an error of the store, by what the database or the system said."""
    said = str(error).lower()
    if "locked" in said or "busy" in said:
        return "Another process is writing a lot; try again in a moment."
    if "malformed" in said or "not a database" in said:
        return (
            "The damaged file is put aside: run this again, and what the journal still holds fills a new one."
        )
    return "Set LUCIDIC_HOME to a folder that you can write."


def _open() -> Reader:
    given = click.get_current_context().find_object(dict) or {}
    open_store: Callable[[], Reader] | None = given.get("open_store")
    if open_store is not None:
        return open_store()
    from lucidic._config import Settings
    from lucidic._export import Store

    return Store(Settings.load().home)


def console() -> Console:
    """Return the console for standard output: as wide as the terminal, but never wider than reads well."""
    made = Console(highlight=False, markup=False, emoji=False)
    made.width = min(made.width, _MAX_WIDTH)
    return made


def show_on(screen: Console, *parts: RenderableType) -> None:
    """Print to a terminal as it is; elsewhere without trailing spaces, and with what the encoding has."""
    if screen.is_terminal:
        screen.print(*parts, sep="\n")
        return
    with screen.capture() as drawn:
        screen.print(*parts, sep="\n")
    text = "\n".join(line.rstrip() for line in drawn.get().splitlines())
    click.echo(text if screen.encoding.startswith("utf") else _plain(text, screen.encoding))


def _plain(text: str, encoding: str) -> str:
    return text.translate(_PLAIN_SIGNS).encode(encoding, "replace").decode(encoding)


def print_json(value: Any) -> None:
    """Print a value as indented JSON; ASCII only, so that any pipe takes it."""
    click.echo(json.dumps(value, indent=2))


def write_text(path: Path, text: str) -> None:
    """Write a file, and say so.

    Raises:
        UnreadableError: It cannot be written.
    """
    try:
        path.write_text(text, encoding="utf-8")
    except OSError as error:
        raise UnreadableError(f"Cannot write {path}: {error}") from error
    click.echo(f"Written to {path}")


def find_session(reader: Reader, wanted: str | None) -> StoredSession:
    """Return the session of that id, name or start of an id; without one, the newest.

    Raises:
        NotThereError: There is no such session, or several.
    """
    if wanted is None:
        newest = reader.sessions(limit=1)
        if not newest:
            raise NotThereError(no_sessions())
        return newest[0]
    exact = reader.session(wanted)
    if exact is not None:
        return exact
    known = reader.sessions()
    named = [session for session in known if session.name == wanted]
    starting = [session for session in known if session.session_id.startswith(wanted)]
    if named or len(starting) == 1:
        return (named or starting)[0]
    if starting:
        raise NotThereError(f"Session {wanted!r} is not clear. It could be: {_listed(starting)}.")
    if not known:
        raise NotThereError(f"Session {wanted!r} does not exist. {no_sessions()}")
    raise NotThereError(
        f"Session {wanted!r} does not exist. The newest are: {_listed(known)}. List them all with: lucidic sessions"
    )


def _listed(sessions: list[StoredSession]) -> str:
    return ", ".join(repr(session.session_id) for session in sessions[:5]) + (
        ", …" if len(sessions) > 5 else ""
    )


def no_sessions() -> str:
    """Return what to do when there is no session yet."""
    return "There are no sessions yet. Make one with: lucidic demo"


class Moment(click.ParamType[int]):
    """A time in the past, in nanoseconds: ISO-8601 (local time without an offset), or an age such as 2h or 3d."""

    name = "time"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> int:
        if isinstance(value, int):
            return value
        age = re.fullmatch(r"(\d+)([smhdw])", value.strip())
        if age:
            return time.time_ns() - int(age[1]) * _UNITS_NS[age[2]]
        try:
            moment = datetime.fromisoformat(value.strip().replace("Z", "+00:00")).astimezone()
        except ValueError:
            self.fail(
                f"{value!r} is no time. Give an age (30m, 2h, 3d) or ISO-8601 (2026-09-20T14:00).", param, ctx
            )
        return round(moment.timestamp() * 1_000_000) * 1000
