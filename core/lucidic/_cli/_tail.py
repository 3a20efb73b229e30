"""``lucidic tail``."""

from __future__ import annotations

from collections.abc import Iterator
from time import sleep

import click

from lucidic._cli._common import console, find_session, show_on, store
from lucidic._records import StoredSession, StoredSpan
from lucidic._view import Reader
from lucidic._view._live import LiveTree
from lucidic._view._terminal import draw_sums, draw_title


@click.command(short_help="Follow a session while another process runs.")
@click.argument("session", required=False)
@click.option(
    "--interval",
    type=click.FloatRange(min=0.05),
    default=0.5,
    show_default=True,
    help="Seconds between looks.",
)
@click.option("--until-end", is_flag=True, help="Stop when the session has ended, instead of at Ctrl-C.")
def tail(session: str | None, interval: float, until_end: bool) -> None:
    """Follow SESSION while another process runs; without one, whichever session is the newest.

    Draws a growing tree in a terminal and one line for each span elsewhere. Ctrl-C stops it.
    """
    with store() as reader:
        try:
            _follow(reader, session, interval, until_end=until_end)
        except KeyboardInterrupt:
            click.echo()


def _follow(reader: Reader, wanted: str | None, interval: float, *, until_end: bool) -> None:
    """Show what is new until Ctrl-C; go over to a newer session when none was named."""
    known = find_session(reader, wanted) if wanted is not None else _wait_for_one(reader, interval)
    while True:
        following = _tail_one(reader, known, interval, switch=wanted is None, until_end=until_end)
        if following is None:
            return
        known = following


def _wait_for_one(reader: Reader, interval: float) -> StoredSession:
    told = False
    while not (newest := reader.sessions(limit=1)):
        if not told:
            click.echo("Waiting for the first session … (Ctrl-C stops)", err=True)
            told = True
        sleep(interval)
        reader.catch_up()
    return newest[0]


def _tail_one(
    reader: Reader, session: StoredSession, interval: float, *, switch: bool, until_end: bool
) -> StoredSession | None:
    """Follow one session; return the newer one to go over to, or None when done."""
    screen = console()
    show_on(screen, draw_title(session), "")
    told = False
    with LiveTree(screen) as tree:
        for arrived in _arrivals(reader, session.session_id):
            tree.add(*arrived)
            now = reader.session(session.session_id) or session
            if now.state != "active" and not arrived:
                if not told:
                    screen.print(draw_sums(now))
                told = True
                if until_end:
                    return None
            newest = reader.sessions(limit=1)
            if switch and newest and newest[0].session_id != session.session_id:
                return newest[0]
            sleep(interval)
    return None


def _arrivals(reader: Reader, session_id: str) -> Iterator[list[StoredSpan]]:
    """Yield the new spans of each look, the first time all of them.

    A span arrives when it ends, in any order of starts, so a change of the count means reading the session again.
    """
    seen: set[str] = set()
    while True:
        reader.catch_up()
        known = reader.session(session_id)
        fresh: list[StoredSpan] = []
        if known is not None and known.spans != len(seen):
            fresh = [span for span in reader.spans(session_id) if span.span_id not in seen]
            seen.update(span.span_id for span in fresh)
        yield fresh
