"""``lucidic show``."""

from __future__ import annotations

from pathlib import Path

import click
from rich.text import Text

from lucidic._cli._common import (
    NotThereError,
    as_json,
    console,
    find_session,
    print_json,
    show_on,
    store,
    told_if_slow,
    write_text,
)
from lucidic._view._html import draw_file
from lucidic._view._json import session_json, traces_json
from lucidic._view._terminal import Look, draw_session
from lucidic._view._tree import Turn, turns


@click.command(short_help="Show a session turn by turn.")
@click.argument("session", required=False)
@click.option("--full", is_flag=True, help="Whole content and every span; nothing folded or cut.")
@click.option("--trace", metavar="ID", help="Only this trace: its id, the start of it, or the turn's number.")
@click.option("--errors", is_flag=True, help="Only what failed, with stack traces.")
@click.option(
    "--html",
    type=click.Path(dir_okay=False, writable=True, path_type=Path),
    metavar="FILE",
    help="Write one HTML file that needs nothing else.",
)
@as_json
def show(
    session: str | None, full: bool, trace: str | None, errors: bool, html: Path | None, as_json: bool
) -> None:
    """Show SESSION turn by turn; the newest one by default.

    SESSION is an id, the start of an id, or a name.
    """
    with store() as reader:
        known = find_session(reader, session)
        with told_if_slow("Reading the spans …"):
            found = turns(reader.spans(known.session_id))
    if trace is not None:
        found = [_the_turn(found, trace)]
    if html is not None:
        write_text(html, draw_file([(known, found)]))
        return
    if as_json:
        kept = [turn for turn in found if turn.errors] if errors else found
        print_json({"session": session_json(known), "traces": traces_json(kept)})
        return
    screen = console()
    show_on(screen, draw_session(known, found, Look(full=full, errors=errors)))
    if not full and not errors and any(turn.errors for turn in found):
        way = f"\nStack traces: lucidic show {known.session_id} --errors"
        show_on(screen, Text(way, "dim", no_wrap=True, overflow="ignore"))


def _the_turn(found: list[Turn], wanted: str) -> Turn:
    matching = [
        turn for turn in found if turn.trace_id.startswith(wanted.lower()) or str(turn.number) == wanted
    ]
    exact = [turn for turn in matching if wanted.lower() == turn.trace_id or wanted == str(turn.number)]
    if len(exact or matching) == 1:
        return (exact or matching)[0]
    known = ", ".join(f"{turn.number} ({turn.trace_id[:8]}…)" for turn in found[:20])
    problem = "is not clear" if matching else "is not in this session"
    raise NotThereError(f"Trace {wanted!r} {problem}. Its traces are: {known or 'none yet'}.")
