"""One cell of the matrix: a workload, a way of giving the session, and a concurrency mode."""

from __future__ import annotations

import asyncio
import gc
import logging
from collections import Counter
from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from contextlib import contextmanager
from contextvars import Context
from dataclasses import dataclass, field
from typing import Any

import lucidic as lai
from lucidic import _binding
from lucidic.testing import CapturedSpans, capture_spans

from . import jobs
from .jobs import OUTSIDE, Job, Mark
from .judge import Path, Run, Verdict, judge, shapes
from .ways import Way
from .workloads import Workload


@dataclass
class Begun:
    """A run that was begun: how, with which order, and whether it came to its end."""

    kind: str
    order: str = ""
    done: bool = False


@dataclass
class Cell:
    """What a mode works with; every run goes through here, so that the judge knows of it."""

    workload: Workload
    way: Way
    jobs: list[Job]
    captured: CapturedSpans = field(default_factory=CapturedSpans)
    runs: dict[Mark, Begun] = field(default_factory=dict)
    """Each run that was begun."""
    nobody: Job = field(default_factory=lambda: Job(OUTSIDE))

    def block(self, job: Job) -> Any:
        """Return the block that gives the job's session (``with`` and ``async with``)."""
        return self.way.block(job)

    def work(self, job: Job, order: str = "") -> None:
        """Run the workload once for a job; ``order`` asks it to fail or to hang."""
        mark = self.begin(job, "run", order)
        self.workload.run(f"{mark} {order}", **self.way.named(job))
        self.done(mark)

    async def awork(self, job: Job, order: str = "") -> None:
        """Run the workload once for a job, in async."""
        mark = self.begin(job, "arun", order)
        await self.workload.arun(f"{mark} {order}", **self.way.named(job))
        self.done(mark)

    def fail(self, job: Job, order: str) -> None:
        """Run the workload once for a job with the order to fail."""
        try:
            self.work(job, order)
        except self.workload.errors:
            return
        raise AssertionError("the work did not fail")

    async def afail(self, job: Job, order: str) -> None:
        """Run the workload once for a job with the order to fail, in async."""
        try:
            await self.awork(job, order)
        except self.workload.errors:
            return
        raise AssertionError("the work did not fail")

    def stream(self, job: Job) -> Iterator[Any]:
        """Run the workload once for a job, as the workload's own stream."""
        mark = self.begin(job, "stream")
        return _Noted(self.workload.stream(str(mark), **self.way.named(job)), lambda: self.done(mark))

    def astream(self, job: Job) -> AsyncIterator[Any]:
        """Run the workload once for a job, as the workload's own async stream."""
        mark = self.begin(job, "astream")
        return _ANoted(self.workload.astream(str(mark), **self.way.named(job)), lambda: self.done(mark))

    def aevents(self, job: Job) -> AsyncIterator[Any]:
        """Run the workload once for a job, as the workload's own stream of events or steps."""
        mark = self.begin(job, "aevents")
        return _ANoted(self.workload.aevents(str(mark), **self.way.named(job)), lambda: self.done(mark))

    def batch(self, jobs: Sequence[Job], order: str = "") -> None:
        """Run the workload for several jobs in one call."""
        marks = [self.begin(job, "batch", order) for job in jobs]
        self.workload.batch([f"{mark} {order}" for mark in marks], list(map(self.way.named, jobs)))
        for mark in marks:
            self.done(mark)

    async def abatch(self, jobs: Sequence[Job], order: str = "") -> None:
        """Run the workload for several jobs in one call, in async."""
        marks = [self.begin(job, "abatch", order) for job in jobs]
        await self.workload.abatch([f"{mark} {order}" for mark in marks], list(map(self.way.named, jobs)))
        for mark in marks:
            self.done(mark)

    def outside(self) -> None:
        """Run the workload outside every session."""
        mark = self.begin(self.nobody, "run")
        self.workload.run(str(mark))
        self.done(mark)

    async def aoutside(self) -> None:
        """Run the workload outside every session, in async."""
        mark = self.begin(self.nobody, "arun")
        await self.workload.arun(str(mark))
        self.done(mark)

    def hanging(self, job: Job) -> tuple[Any, asyncio.Event]:
        """Return a run that hangs in its model, and the event that says that it does."""
        mark = self.begin(job, "arun")
        reached = jobs.gate(mark)
        return self.workload.arun(f"{mark} {jobs.HANG}", **self.way.named(job)), reached

    def begin(self, job: Job, kind: str, order: str = "") -> Mark:
        """Return the mark of a run that begins."""
        mark = job.next_mark()
        self.runs[mark] = Begun(kind, order)
        return mark

    def done(self, mark: Mark) -> None:
        """Note that a run came to its end."""
        self.runs[mark].done = True


class _Noted:
    """A stream that says when it came to its end; it is as closable as what it wraps."""

    def __init__(self, inner: Any, done: Callable[[], None]) -> None:
        self._inner = inner
        self._done = done

    def __iter__(self) -> _Noted:
        return self

    def __next__(self) -> Any:
        try:
            return next(self._inner)
        except StopIteration:
            self._done()
            raise

    def close(self) -> None:
        self._inner.close()


class _ANoted:
    def __init__(self, inner: Any, done: Callable[[], None]) -> None:
        self._inner = inner
        self._done = done

    def __aiter__(self) -> _ANoted:
        return self

    async def __anext__(self) -> Any:
        try:
            return await self._inner.__anext__()
        except StopAsyncIteration:
            self._done()
            raise

    async def aclose(self) -> None:
        await self._inner.aclose()


@dataclass(frozen=True)
class Mode:
    """A concurrency mode: a function that makes runs through a cell."""

    name: str
    play: Callable[[Cell], None]
    streams: str = ""
    """The kind of stream it needs: ``sync``, ``async``, ``events``, or none."""
    scoped: bool = False
    """It needs a block: there is something to enter."""
    decorates: bool = False
    """It needs a block that is a decorator."""
    own: bool = False
    """It needs a block of ours: others' must be left in the order in which they were entered."""
    severed: bool = False
    """The block does not reach the work: only what its data says can name the session."""
    batches: bool = False
    """It needs a framework that runs several inputs in one call."""
    orders: frozenset[str] = frozenset()
    """It needs a workload that understands these orders."""
    keyed: bool = False
    """It needs the session in the runs' data, because several share one block."""
    given: bool = False
    """It gives the session itself: there is no other way beside it."""
    apart: int = 0
    """It forks (1), changes its process or starts others (2): it is played last, in a process that no others need."""
    host: str = ""
    """Instrumentation scope of a server whose spans lie around the runs."""


class LogTrap(logging.Handler):
    """Collect every log record of warning level and above."""

    def __init__(self) -> None:
        super().__init__(logging.WARNING)
        self.lines: list[str] = []

    def emit(self, record: logging.LogRecord) -> None:
        self.lines.append(f"{record.name}: {record.getMessage()}")


@contextmanager
def cheap_collections() -> Iterator[None]:
    """Let garbage collections inside the block look only at what the block makes; modes collect often."""
    gc.freeze()
    try:
        yield
    finally:
        gc.unfreeze()


_shapes: dict[tuple[str, str, str], Counter[Path]] = {}
_KINDS = {"sync": "stream", "async": "astream", "events": "aevents"}


def play(mode: Mode, workload: Workload, way: Way, *, sessions: int, **settings: Any) -> Verdict:
    """Play a cell with so many concurrent sessions and judge it."""
    cell = Cell(workload, way, [Job(f"user_{number:04d}_conv_{number:04d}") for number in range(sessions)])
    for kind in ("run", "arun", *(_KINDS[item] for item in workload.streams)):
        shape_of(workload, kind)  # now: not in the midst of the cell
    trap = LogTrap()
    errors: list[str] = []
    logging.getLogger().addHandler(trap)
    try:
        with (
            cheap_collections(),
            capture_spans(**{**way.settings, **settings}) as cell.captured,
            workload.instrumented(),
        ):
            left_behind = Context().run(_play, mode, cell, errors)
            gc.collect()
    finally:
        logging.getLogger().removeHandler(trap)
        jobs.forget()
    verdict = judge(cell.captured.started, cell.captured.spans, runs_of(cell), host=mode.host)
    verdict.left_behind, verdict.errors, verdict.logs = left_behind, errors, trap.lines
    return verdict


def runs_of(cell: Cell) -> dict[Mark, Run]:
    """Return what every run of a cell must look like."""
    runs = {}
    for mark, begun in cell.runs.items():
        completing = begun.order if begun.order in jobs.COMPLETING else ""
        runs[mark] = Run(shape_of(cell.workload, begun.kind, completing), begun.done)
        if begun.order == jobs.INNER:
            runs[jobs.inner_of(mark)] = Run(Counter({("inner",): 1}), begun.done, guest=True)
    return runs


def _play(mode: Mode, cell: Cell, errors: list[str]) -> int:
    try:
        mode.play(cell)
    except (Exception, asyncio.CancelledError) as error:  # the verdict tells of it
        errors.append(f"{type(error).__name__}: {error}")
    gc.collect()
    return int(_binding.top() is not None or lai.current_session_id() is not None)


def shape_of(workload: Workload, kind: str, order: str = "") -> Counter[Path]:
    """Return the paths of one run that has the process to itself: what every other run must look like."""
    known = _shapes.get((workload.name, kind, order))
    if known is None:
        known = _shapes[workload.name, kind, order] = _record_shape(workload, kind, order)
    return known


def _record_shape(workload: Workload, kind: str, order: str) -> Counter[Path]:
    mark = Mark("alone", 0)
    prompt = f"{mark} {order}"
    pair = [prompt, f"{Mark('alone', 1)} {order}"]  # a batch of one is no batch

    async def consume(stream: AsyncIterator[Any]) -> None:
        async for _ in stream:
            pass

    with capture_spans() as captured, workload.instrumented():
        if kind == "run":
            workload.run(prompt)
        elif kind == "arun":
            asyncio.run(workload.arun(prompt))
        elif kind == "batch":
            workload.batch(pair, [{}, {}])
        elif kind == "abatch":
            asyncio.run(workload.abatch(pair, [{}, {}]))
        elif kind == "stream":
            for _ in workload.stream(prompt):
                pass
        else:
            asyncio.run(consume(getattr(workload, kind)(prompt)))
    jobs.forget()
    return shapes(captured.spans)[mark]
