"""Draw a list of sessions."""

from __future__ import annotations

import time
from collections.abc import Sequence

from rich.table import Table
from rich.text import Text

from lucidic._records import StoredSession
from lucidic._view._terminal import STATE_STYLES
from lucidic._view._words import day_and_clock, duration, one_line, safe, short_count


def draw_sessions(sessions: Sequence[StoredSession], *, width: int) -> Table:
    """Return a table of sessions; from 100 columns on it has the spans and the length as well."""
    wide = width >= 100
    table = Table(box=None, pad_edge=False, padding=(0, 2 if wide else 1, 0, 0), header_style="dim")
    table.add_column("SESSION", overflow="fold", min_width=20)
    table.add_column("STATE", no_wrap=True)
    table.add_column("STARTED", no_wrap=True)
    for heading in ("TIME", "TURNS", "SPANS", "FAILED", "TOKENS") if wide else ("TURNS", "FAILED", "TOKENS"):
        table.add_column(heading, justify="right", no_wrap=True)
    for session in sessions:
        table.add_row(*_cells(session, wide=wide))
    return table


def _cells(session: StoredSession, *, wide: bool) -> list[Text]:
    title = Text()
    if session.name:
        title.append(one_line(session.name, 60), "bold").append("\n")
    title.append(safe(session.session_id), "dim" if session.name else "bold")
    end = session.ended_ns if session.ended_ns is not None else time.time_ns()
    length = duration(end - session.started_ns) if session.ended_ns or session.state == "active" else ""
    figures = [
        *((length,) if wide else ()),
        short_count(session.traces),
        *((short_count(session.spans),) if wide else ()),
    ]
    return [
        title,
        Text(session.state, STATE_STYLES[session.state]),
        Text(_started(session.started_ns), "dim"),
        *map(Text, figures),
        Text(short_count(session.errors) if session.errors else "", "bold red"),
        Text(short_count(session.total_tokens)),
    ]


def _started(nanoseconds: int) -> str:
    """Return the time of day for today's sessions and the date for older ones, in at most 12 characters."""
    day, _, clock = day_and_clock(nanoseconds).partition(" ")
    today = day_and_clock(time.time_ns()).partition(" ")[0]
    return clock if day == today else f"{day[5:]} {clock}" if day[:4] == today[:4] else day
