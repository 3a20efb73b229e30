"""The matrix: which modes go with which workloads and ways, and what Python makes impossible."""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

from . import (
    modes_batches,
    modes_faults,
    modes_given,
    modes_processes,
    modes_streams,
    modes_tasks,
    modes_threads,
)
from .cells import Mode, play
from .impossible import allowed
from .judge import Verdict
from .kit_framework import KitFramework
from .ways import BLOCKS, FURTHER_BLOCKS, NOTHING, Way, block_and_key, by_key, conflicts
from .workloads import PlainSpans, Workload
from .workloads_agents import OpenAIAgents, PydanticAI
from .workloads_langchain import LANGCHAIN
from .workloads_mixed import Mixed


_EVERY_BLOCK = ("plain", "kit", "mixed")

MODES: tuple[Mode, ...] = (
    *modes_tasks.MODES,
    *modes_threads.MODES,
    *modes_streams.MODES,
    *modes_faults.MODES,
    *modes_batches.MODES,
    *modes_given.MODES,
    *modes_processes.MODES,
)


def workloads() -> list[Workload]:
    """Return the workloads, those without a framework first."""
    return [
        PlainSpans(),
        KitFramework(),
        *(made() for made in LANGCHAIN),
        PydanticAI(),
        OpenAIAgents(),
        Mixed(),
    ]


class Place(NamedTuple):
    """A cell's place in the matrix."""

    mode: Mode
    workload: Workload
    way: Way

    def __str__(self) -> str:
        return f"{self.workload.name} / {self.way.name} / {self.mode.name}"


def places() -> Iterator[Place]:
    """Return every cell of the matrix."""
    for workload in workloads():
        for mode in MODES:
            for way in ways_of(workload):
                if fits(mode, workload, way):
                    yield Place(mode, workload, way)


def ways_of(workload: Workload) -> list[Way]:
    """Return the ways of giving a session that a workload knows."""
    keys = workload.keys
    further = FURTHER_BLOCKS if workload.name in _EVERY_BLOCK else ()
    both = [way for key in keys[:1] for way in (block_and_key(key), *conflicts(key))]
    return [*BLOCKS, *further, *map(by_key, keys), *both, NOTHING]


def workload_named(name: str) -> Workload:
    """Return a workload by its name."""
    return next(item for item in workloads() if item.name == name)


def way_named(workload: Workload, name: str) -> Way:
    """Return a workload's way by its name."""
    return next(item for item in ways_of(workload) if item.name == name)


def fits(mode: Mode, workload: Workload, way: Way) -> bool:
    """Tell whether a cell makes sense: there must be a stream, a block or a decorator to play with."""
    if mode.streams and mode.streams not in workload.streams:
        return False
    if mode.scoped and way.scope is None:
        return False
    if mode.own and not way.own:
        return False
    if mode.given != (way is NOTHING) or (mode.severed and way.decoy == "key"):
        return False
    if mode.keyed and (way.key is None or way.scope is not None):
        return False
    if not mode.orders <= workload.orders or (mode.batches and not workload.batches):
        return False
    return not (mode.decorates and not way.decorates)


def sampled(*, apart: bool = False) -> Iterator[Place]:
    """Return a part of the matrix: every mode with every workload of no framework, a third with the others.

    The ways take turns, so that each mode meets several and each way meets most modes.
    """
    for row, workload in enumerate(workloads()):
        ways = ways_of(workload)
        for column, mode in enumerate(MODES):
            if bool(mode.apart) != apart or (row > 1 and (row + column) % 3):
                continue
            fitting = [way for way in ways if fits(mode, workload, way)]
            if fitting:
                yield Place(mode, workload, fitting[(row + column // 3) % len(fitting)])


def run_place(place: Place, *, sessions: int) -> Verdict:
    """Play and judge one cell."""
    return play(place.mode, place.workload, place.way, sessions=sessions)


def surprises(place: Place, verdict: Verdict) -> dict[str, object]:
    """Return the faults of a cell that nothing excuses."""
    excused = allowed(place)
    return {name: value for name, value in verdict.faults.items() if name not in excused}


def cells_of(*, sample: bool) -> list[Place]:
    """Return the cells of the matrix, or of the part that the tests play."""
    return [*sampled(), *sampled(apart=True)] if sample else list(places())


def play_lot(numbers: list[int], sessions: int, *, sample: bool) -> list[tuple[int, Verdict]]:
    """Play some cells, by their numbers: what a process of ``--jobs`` does, which can import no ``__main__``."""
    cells = cells_of(sample=sample)
    return [(number, run_place(cells[number], sessions=sessions)) for number in numbers]
