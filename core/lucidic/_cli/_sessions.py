"""``lucidic sessions``."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final

import click
from rich.text import Text

from lucidic._cli._common import Moment, as_json, console, no_sessions, print_json, show_on, store
from lucidic._records import SessionState, StoredSession
from lucidic._view import Reader
from lucidic._view._json import session_json
from lucidic._view._list import draw_sessions


_ORDERS: Final[dict[str, Callable[[StoredSession], Any]]] = {
    "started": lambda session: -session.started_ns,
    "ended": lambda session: (session.ended_ns is not None, -(session.ended_ns or 0)),
    "name": lambda session: ((session.name or session.session_id).casefold(), session.session_id),
    "turns": lambda session: -session.traces,
    "spans": lambda session: -session.spans,
    "failed": lambda session: -session.errors,
    "tokens": lambda session: -session.total_tokens,
}


_PAGE = 20
_ALL = 1_000_000_000


@click.command()
@click.option("--name", help="Only sessions whose name contains this, in any case.")
@click.option(
    "--state", type=click.Choice(["active", "finished", "died"]), help="Only sessions in this state."
)
@click.option("--since", type=Moment(), metavar="TIME", help="Started since: 2h, 3d, or 2026-09-20T14:00.")
@click.option("--until", type=Moment(), metavar="TIME", help="Started until.")
@click.option("--user", help="Only sessions of this user id.")
@click.option("--tag", help="Only sessions with this tag.")
@click.option(
    "--sort",
    type=click.Choice(list(_ORDERS)),
    default="started",
    show_default=True,
    help="Newest, most or a-z first.",
)
@click.option(
    "--limit", type=click.IntRange(min=1), help="Sessions on a page.  [default: 20; all with --json]"
)
@click.option("--page", type=click.IntRange(min=1), default=1, show_default=True, help="Which page.")
@as_json
def sessions(
    name: str | None,
    state: SessionState | None,
    since: int | None,
    until: int | None,
    user: str | None,
    tag: str | None,
    sort: str,
    limit: int | None,
    page: int,
    as_json: bool,
) -> None:
    """List sessions, the newest first."""
    filters = {"state": state, "since_ns": since, "until_ns": until, "user_id": user, "tag": tag}
    length = limit or (_ALL if as_json else _PAGE)
    start = (page - 1) * length
    with store() as reader:
        found = _page(reader, filters, name, sort, start, length + 1)
        is_empty = not found and not reader.sessions(limit=1)
    if as_json:
        print_json([session_json(session) for session in found[:length]])
        return
    screen = console()
    if not found:
        show_on(
            screen,
            Text(no_sessions() if is_empty else "No session matches." if page == 1 else "No more sessions."),
        )
        return
    show_on(screen, draw_sessions(found[:length], width=screen.width))
    if len(found) > length:
        show_on(screen, Text(f"\nThere are more: --page {page + 1}", "dim"))


def _page(
    reader: Reader, filters: dict[str, Any], name: str | None, sort: str, start: int, length: int
) -> list[StoredSession]:
    """Return a page; the store pages by itself unless the name or the order needs all sessions."""
    if name is None and sort == "started":
        return reader.sessions(**filters, limit=length, offset=start)
    found = reader.sessions(**filters)
    if name is not None:
        found = [session for session in found if name.casefold() in (session.name or "").casefold()]
    found.sort(key=_ORDERS[sort])
    return found[start : start + length]
