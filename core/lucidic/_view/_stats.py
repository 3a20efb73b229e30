"""Tokens, times and error rates by model, agent, tool and session."""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Any, Final, Literal, TypeAlias

from rich.table import Table
from rich.text import Text

from lucidic._records import StoredSpan
from lucidic._score_span import SCOPE
from lucidic._view._content import Tokens, agent, kind, model, tokens, tool
from lucidic._view._words import duration, one_line, short_count


Group: TypeAlias = Literal["model", "agent", "tool", "session"]
GROUPS: Final[tuple[Group, ...]] = ("model", "agent", "tool", "session")
_NO_SESSION: Final = "(no session)"


@dataclass(frozen=True, kw_only=True, slots=True)
class Figures:
    """What the spans of one model, agent, tool or session add up to; times are nanoseconds."""

    name: str
    count: int
    """Calls of a model or tool, runs of an agent, traces of a session."""
    failed: int
    tokens: Tokens
    total_ns: int
    median_ns: int
    p95_ns: int


def figures(spans: Iterable[StoredSpan], group: Group) -> list[Figures]:
    """Return the figures of each member of a group, the one with the most time first."""
    members: dict[str, list[StoredSpan]] = defaultdict(list)
    for span in spans:
        name = _NAMES[group](span)
        if name is not None:
            members[name].append(span)
    count = _session_figures if group == "session" else _span_figures
    return sorted(
        (count(name, own) for name, own in members.items()), key=lambda row: (-row.total_ns, row.name)
    )


_NAMES: Final[dict[Group, Callable[[StoredSpan], str | None]]] = {
    "model": lambda span: (model(span) or span.name) if kind(span) in {"LLM", "EMBEDDING"} else None,
    "agent": lambda span: agent(span) if kind(span) == "AGENT" else None,
    "tool": lambda span: tool(span) if kind(span) == "TOOL" else None,
    # A score is no turn of its session.
    "session": lambda span: None if span.scope_name == SCOPE else span.session_id or _NO_SESSION,
}


def _span_figures(name: str, spans: Sequence[StoredSpan]) -> Figures:
    failed = sum(span.status == "ERROR" for span in spans)
    return _figures(name, spans, failed, [span.end_ns - span.start_ns for span in spans])


def _session_figures(name: str, spans: Sequence[StoredSpan]) -> Figures:
    """Count traces: the time of each is from its first start to its last end."""
    traces: dict[str, list[StoredSpan]] = defaultdict(list)
    for span in spans:
        traces[span.trace_id].append(span)
    failed = sum(any(span.status == "ERROR" for span in trace) for trace in traces.values())
    times = [
        max(span.end_ns for span in trace) - min(span.start_ns for span in trace) for trace in traces.values()
    ]
    return _figures(name, spans, failed, times)


def _figures(name: str, spans: Sequence[StoredSpan], failed: int, times: Sequence[int]) -> Figures:
    ordered = sorted(max(time, 0) for time in times)
    return Figures(
        name=name,
        count=len(ordered),
        failed=failed,
        tokens=sum(map(tokens, spans), Tokens()),
        total_ns=sum(ordered),
        median_ns=_nearest_rank(ordered, 0.5),
        p95_ns=_nearest_rank(ordered, 0.95),
    )


def _nearest_rank(ordered: Sequence[int], share: float) -> int:
    return ordered[math.ceil(share * len(ordered)) - 1]


def figures_json(row: Figures) -> dict[str, Any]:
    """Return one row; times are seconds."""
    return {
        "name": row.name,
        "count": row.count,
        "failed": row.failed,
        "error_rate": round(row.failed / row.count, 4),
        "tokens": {
            "prompt": row.tokens.prompt,
            "completion": row.tokens.completion,
            "total": row.tokens.total,
            "cached": row.tokens.cached,
            "reasoning": row.tokens.reasoning,
        },
        "seconds": {"total": row.total_ns / 1e9, "median": row.median_ns / 1e9, "p95": row.p95_ns / 1e9},
    }


def draw_figures(group: Group, rows: Sequence[Figures]) -> Table:
    """Return a group as a table that fits 80 columns; tokens only where the group has any."""
    counted = any(row.tokens.total for row in rows)
    table = Table(
        box=None, pad_edge=False, padding=(0, 1 if group == "session" else 2, 0, 0), header_style="dim"
    )
    table.add_column(group.upper(), overflow="fold", min_width=12)
    noun = {"agent": "RUNS", "session": "TURNS"}.get(group, "CALLS")
    for heading in (noun, "FAILED", *(("IN", "OUT") if counted else ()), "TIME", "MEDIAN", "P95"):
        table.add_column(heading, justify="right", no_wrap=True)
    for row in rows:
        failed = f"{row.failed / row.count:.0%}" if row.failed else ""
        used = (short_count(row.tokens.prompt), short_count(row.tokens.completion)) if counted else ()
        times = (duration(row.total_ns), duration(row.median_ns), duration(row.p95_ns))
        cells = map(Text, (*used, *times))
        table.add_row(
            Text(one_line(row.name, 80), "bold"),
            Text(short_count(row.count)),
            Text(failed, "bold red"),
            *cells,
        )
    return table
