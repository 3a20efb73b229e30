"""A sink's page of the books on disk: how far it has come in each segment, and what became of the spans."""

from __future__ import annotations

import contextlib
import json
import os
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

from lucidic._export._failpoints import failpoint


FOLDER: Final = "sinks"
_LONG: Final = 1 << 20


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

    def copy(self) -> Position:
        """Return a position that can be changed apart."""
        return Position(self.offset, self.delivered, self.rejected, dict(self.dropped), self.done_ns)

    def as_dict(self) -> dict[str, Any]:
        """Return the fields as JSON has them; ``dataclasses.asdict`` costs ten times as much."""
        return {name: getattr(self, name) for name in self.__slots__}

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

    def copy(self) -> Book:
        """Return a book that can be changed apart."""
        positions = {name: position.copy() for name, position in self.positions.items()}
        return Book(positions, self.totals.copy(), self.state, self.note)

    def fold(self, existing: Iterable[str]) -> None:
        """Add the positions of segments that are gone to the totals."""
        for name in self.positions.keys() - set(existing):
            add(self.totals, self.positions.pop(name))


def add(total: Position, position: Position) -> None:
    """Add a position's counts."""
    total.delivered += position.delivered
    total.rejected += position.rejected
    for reason, number in tuple(position.dropped.items()):
        total.drop(reason, number)


def book_path(spool: Path, sink: str) -> Path:
    """Return where a sink's book is."""
    return spool / FOLDER / f"{sink}.jsonl"


def read_book(spool: Path, sink: str) -> Book:
    """Read a sink's book; an absent or damaged one is empty, and the sink begins again with what is there."""
    try:
        lines = book_path(spool, sink).read_bytes().splitlines()
    except OSError:
        return Book()
    # A killed process may have left the last line unfinished: then the one before counts.
    for line in reversed(lines):
        with contextlib.suppress(ValueError, KeyError, TypeError, AttributeError):
            return _parse(json.loads(line))
    return Book()


def _parse(content: dict[str, Any]) -> Book:
    return Book(
        positions={name: Position(**value) for name, value in content["positions"].items()},
        totals=Position(**content["totals"]),
        state=content["state"],
        note=content["note"],
    )


def write_book(spool: Path, sink: str, book: Book) -> None:
    """Write a sink's book as one more line of its file; a file that has grown long begins anew.

    A line costs microseconds, where to write a new file and rename it for each batch costs milliseconds.

    Raises:
        OSError: The folder cannot be written.
    """
    path = book_path(spool, sink)
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    content = {
        "positions": {name: position.as_dict() for name, position in book.positions.items()},
        "totals": book.totals.as_dict(),
        "state": book.state,
        "note": book.note,
    }
    line = json.dumps(content, separators=(",", ":")).encode() + b"\n"
    failpoint("cursor-before-write")
    if _size(path) + len(line) > _LONG:
        unfinished = path.with_suffix(f".{os.getpid()}.new")
        unfinished.write_bytes(line)
        failpoint("cursor-before-rename")
        unfinished.replace(path)
    else:
        fd = os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            # Behind an unfinished line a line of its own begins.
            if os.write(fd, b"\n" + line) != len(line) + 1:
                raise OSError(f"The book {path} could not be written to its end.")
        finally:
            os.close(fd)
    failpoint("cursor-after-write")


def _size(path: Path) -> int:
    try:
        return path.stat().st_size
    except FileNotFoundError:
        return 0


def book_names(spool: Path) -> list[str]:
    """List the sinks that have a book; none if the folder cannot be read."""
    try:
        return sorted(path.stem for path in (spool / FOLDER).glob("*.jsonl"))
    except OSError:
        return []
