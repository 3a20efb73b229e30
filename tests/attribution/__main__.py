"""Play the whole matrix, and print what is not as it must be and the counts: ``python -m tests.attribution``."""

from __future__ import annotations

import argparse
import multiprocessing
import sys
import time
from collections import Counter
from collections.abc import Iterable
from concurrent.futures import ProcessPoolExecutor, as_completed

from .impossible import allowed
from .judge import Verdict
from .matrix import Place, cells_of, play_lot, run_place, surprises


_COUNTED = ("spans", "correct", "wrong", "none", "missing", "unended", "broken", "extra_traces", "leaks")
_LOT = 20
"""Cells that a process plays before it says how they were."""


class Report:
    """What the cells left, counted, and how far the matrix is."""

    def __init__(self, total: int, *, every: bool) -> None:
        self._total = total
        self._every = every
        self._began = self._said = time.perf_counter()
        self.cells: Counter[str] = Counter()
        self.spans: Counter[str] = Counter()
        self.excused: Counter[str] = Counter()

    def add(self, place: Place, verdict: Verdict) -> None:
        """Take a cell."""
        found = surprises(place, verdict)
        kind = "bad" if found else "excused" if verdict.faults else "perfect"
        self.cells[kind] += 1
        counts = self.excused if kind == "excused" else self.spans
        for name in _COUNTED:
            counts[name] += getattr(verdict, name)
        if found or self._every:
            print(f"{'BAD  ' if found else '     '}{place}: {verdict}", flush=True)

    def progress(self) -> None:
        """Say once in ten seconds how far it is, to standard error."""
        now = time.perf_counter()
        if now - self._said >= 10:
            self._said = now
            done = self.cells.total()
            left = (now - self._began) / done * (self._total - done)
            print(f"{done}/{self._total} cells, {left:.0f} s to go", file=sys.stderr, flush=True)

    def end(self) -> None:
        """Print the counts."""
        print(
            f"{self.cells.total()} cells: {self.cells['perfect']} perfect, {self.cells['excused']} as far as "
            f"Python allows, {self.cells['bad']} not as they must be; "
            f"{time.perf_counter() - self._began:.0f} s"
        )
        for title, counts in (("perfect or bad", self.spans), ("as far as Python allows", self.excused)):
            print(f"{title}: {', '.join(f'{name} {counts[name]}' for name in _COUNTED)}")


def _lots(cells: list[Place], chosen: Iterable[int]) -> list[list[int]]:
    """Return the cells in lots; those that fork or change their process come last."""
    kinds: dict[int, list[int]] = {0: [], 1: [], 2: []}
    for number in chosen:
        kinds[cells[number].mode.apart].append(number)
    return [kind[at : at + _LOT] for kind in kinds.values() for at in range(0, len(kind), _LOT)]


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.attribution", description=__doc__)
    parser.add_argument(
        "--sessions", type=int, default=50, help="concurrent sessions of a cell (default: 50)"
    )
    parser.add_argument("--only", default="", help="play only the cells whose name contains this")
    parser.add_argument("--sample", action="store_true", help="play only what the tests play")
    parser.add_argument(
        "--apart", action="store_true", help="play only the cells that need their own process"
    )
    parser.add_argument(
        "--excused", action="store_true", help="play only the cells that may show faults, and print them"
    )
    parser.add_argument("--all", action="store_true", help="print every cell, those as they must be too")
    parser.add_argument("--jobs", type=int, default=1, help="processes (default: 1)")
    parser.add_argument("--shard", default="1/1", help="play only this part, for example 2/3 (default: all)")
    options = parser.parse_args()
    try:
        shard, shards = map(int, options.shard.split("/"))
    except ValueError:
        parser.error("--shard is a number, a slash and a number, for example 2/3")
    if not 1 <= shard <= shards:
        parser.error(f"--shard {options.shard} is no part: the parts of 3 are 1/3, 2/3 and 3/3")
    cells = cells_of(sample=options.sample)
    chosen = [
        number
        for number, place in enumerate(cells)
        if options.only in str(place)
        and (place.mode.apart or not options.apart)
        and (allowed(place) or not options.excused)
    ][shard - 1 :: shards]
    if not chosen:
        parser.error("no cell is chosen: --only takes a part of a name as --all prints it")
    report = Report(len(chosen), every=options.all or options.excused)
    lots = _lots(cells, chosen)
    if options.jobs == 1:
        for lot in lots:
            for number in lot:
                report.add(cells[number], run_place(cells[number], sessions=options.sessions))
                report.progress()
    else:
        with ProcessPoolExecutor(options.jobs, mp_context=multiprocessing.get_context("spawn")) as pool:
            asked = [pool.submit(play_lot, lot, options.sessions, sample=options.sample) for lot in lots]
            for answer in as_completed(asked):
                for number, verdict in answer.result():
                    report.add(cells[number], verdict)
                report.progress()
    report.end()
    return bool(report.cells["bad"])


if __name__ == "__main__":
    sys.exit(main())
