"""A sink's page of the books on disk: how far it has come in each segment, and what became of the spans."""

from __future__ import annotations

import contextlib
import json
import os
from collections.abc import Iterable
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from lucidic._export._failpoints import failpoint


FOLDER = "sinks"


@dataclass(slots=True)
class Position:
    """How far a sink has come in one segment."""

    offset: int = 0
    delivered: int = 0
    rejected: int = 0
    dropped: dict[str, int] = field(default_factory=dict)
    done_ns: int | None = None
    """When the last span of a finished segment was taken; nanoseconds since the epoch."""

    def drop(self, reason: str, number: int = 1) -> None:
        """Count spans given up."""
        self.dropped[reason] = self.dropped.get(reason, 0) + number

    @property
    def taken(self) -> int:
        """Spans that the sink is through with."""
        return self.delivered + self.rejected + sum(self.dropped.values())


@dataclass(slots=True)
class Book:
    """The positions in the segments that exist, and the sums over those that are gone."""

    positions: dict[str, Position] = field(default_factory=dict)
    totals: Position = field(default_factory=Position)
    state: str = "ok"
    note: str = ""

    def at(self, segment: str) -> Position:
        """Return the position in a segment, a new one if the sink has not been there."""
        return self.positions.setdefault(segment, Position())

    def fold(self, existing: Iterable[str]) -> None:
        """Add the positions of segments that are gone to the totals."""
        for name in self.positions.keys() - set(existing):
            add(self.totals, self.positions.pop(name))


def add(total: Position, position: Position) -> None:
    """Add a position's counts."""
    total.delivered += position.delivered
    total.rejected += position.rejected
    for reason, number in position.dropped.items():
        total.drop(reason, number)


def book_path(spool: Path, sink: str) -> Path:
    """Return where a sink's book is."""
    return spool / FOLDER / f"{sink}.json"


def read_book(spool: Path, sink: str) -> Book:
    """Read a sink's book; an absent or damaged one is empty, and the sink begins again with what is there."""
    try:
        content: dict[str, Any] = json.loads(book_path(spool, sink).read_bytes())
        return Book(
            positions={name: Position(**value) for name, value in content["positions"].items()},
            totals=Position(**content["totals"]),
            state=content["state"],
            note=content["note"],
        )
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        return Book()


def write_book(spool: Path, sink: str, book: Book) -> None:
    """Replace a sink's book in one step.

    Raises:
        OSError: The folder cannot be written.
    """
    path = book_path(spool, sink)
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    unfinished = path.with_suffix(f".{os.getpid()}.new")
    try:
        unfinished.write_bytes(json.dumps(asdict(book)).encode())
        failpoint("cursor-before-rename")
        unfinished.replace(path)
    except OSError:
        with contextlib.suppress(OSError):
            unfinished.unlink()
        raise
    failpoint("cursor-after-rename")


def book_names(spool: Path) -> list[str]:
    """List the sinks that have a book."""
    folder = spool / FOLDER
    return sorted(path.stem for path in folder.glob("*.json")) if folder.is_dir() else []
