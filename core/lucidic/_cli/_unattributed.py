"""``lucidic unattributed``."""

from __future__ import annotations

import click
from rich.text import Text

from lucidic._cli._common import as_json, console, print_json, show_on, store
from lucidic._view._json import traces_json
from lucidic._view._terminal import draw_turn
from lucidic._view._tree import turns
from lucidic._view._words import count


_HELP = (
    "They were made outside of every session. Put the call in a block, with lai.session(): …, name the session "
    "in the framework's metadata, or carry it into threads and queues with lai.context.bind."
)


@click.command(short_help="Show the spans that belong to no session.")
@click.option(
    "--limit", type=click.IntRange(min=1), default=20, show_default=True, help="The newest so many traces."
)
@as_json
def unattributed(limit: int, as_json: bool) -> None:
    """Show the spans that belong to no session, trace by trace."""
    with store() as reader:
        found = turns(reader.spans(unattributed=True))
    if as_json:
        print_json(traces_json(found[-limit:]))
        return
    if not found:
        show_on(console(), Text("Every span belongs to a session."))
        return
    spans = sum(len(turn.spans) for turn in found)
    told = Text(f"{count(spans, 'span')} in {count(len(found), 'trace')} without a session", "bold")
    drawn = [part for turn in found[-limit:] for part in (Text(), draw_turn(turn))]
    show_on(console(), told, Text(_HELP, "dim"), *drawn)
