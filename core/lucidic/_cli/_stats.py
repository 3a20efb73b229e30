"""``lucidic stats``."""

from __future__ import annotations

import click
from rich.console import RenderableType
from rich.text import Text

from lucidic._cli._common import (
    Moment,
    as_json,
    console,
    find_session,
    no_sessions,
    print_json,
    show_on,
    store,
    told_if_slow,
)
from lucidic._view._stats import GROUPS, Group, draw_figures, figures, figures_json


_ROWS = 20


@click.command(short_help="Count tokens, times and error rates.")
@click.argument("session", required=False)
@click.option("--by", type=click.Choice(GROUPS), help="Only this table, with all its rows.")
@click.option(
    "--since", type=Moment(), metavar="TIME", help="Only spans that started since: 2h, 3d, 2026-09-20T14:00."
)
@as_json
def stats(session: str | None, by: Group | None, since: int | None, as_json: bool) -> None:
    """Count tokens, times and error rates by model, agent, tool and session.

    Of all sessions, or of SESSION alone. Times: in total, the median, and the 95th percentile.
    """
    with store() as reader:
        session_id = find_session(reader, session).session_id if session is not None else None
        groups = (by,) if by is not None else GROUPS
        with told_if_slow("Counting the spans …"):
            spans = reader.spans(session_id, since_ns=since)
            tables = {group: figures(spans, group) for group in groups}
    if as_json:
        print_json({group: [figures_json(row) for row in rows] for group, rows in tables.items()})
        return
    parts: list[RenderableType] = []
    for group, rows in tables.items():
        if rows:
            shown = rows if by is not None else rows[:_ROWS]
            parts += [draw_figures(group, shown), Text()]
            if len(shown) < len(rows):
                parts[-1] = Text(f"and {len(rows) - len(shown):,} more: --by {group}\n", "dim")
    nothing = Text("No spans match." if since is not None or spans else no_sessions())
    show_on(console(), *(parts[:-1] or [nothing]))
