"""One cell of the matrix: a workload, a way of giving the session, and a concurrency mode."""

from __future__ import annotations

import asyncio
import gc
import logging
from collections import Counter
from collections.abc import AsyncIterator, Callable, Iterator
from contextvars import Context
from dataclasses import dataclass, field
from typing import Any

import lucidic as lai
from lucidic import _binding
from lucidic.testing import capture_spans

from . import jobs
from .jobs import OUTSIDE, Job, Mark
from .judge import Path, Run, Verdict, judge, shapes
from .ways import Way
from .workloads import Workload


@dataclass
class Cell:
    """What a mode works with; every run goes through here, so that the judge knows of it."""

    workload: Workload
    way: Way
    jobs: list[Job]
    runs: dict[Mark, tuple[str, bool]] = field(default_factory=dict)
    """Each run that was begun: its kind, and whether it came to its end."""
    nobody: Job = field(default_factory=lambda: Job(OUTSIDE))

    def block(self, job: Job) -> Any:
        """Return the block that gives the job's session (``with`` and ``async with``)."""
        return self.way.block(job)

    def work(self, job: Job, order: str = "") -> None:
        """Run the workload once for a job; ``order`` asks it to fail or to hang."""
        mark = self._begin(job, "run")
        self.workload.run(f"{mark} {order}", **self.way.named(job))
        self._done(mark)

    async def awork(self, job: Job, order: str = "") -> None:
        """Run the workload once for a job, in async."""
        mark = self._begin(job, "arun")
        await self.workload.arun(f"{mark} {order}", **self.way.named(job))
        self._done(mark)

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
        mark = self._begin(job, "stream")
        return _Noted(self.workload.stream(str(mark), **self.way.named(job)), lambda: self._done(mark))

    def astream(self, job: Job) -> AsyncIterator[Any]:
        """Run the workload once for a job, as the workload's own async stream."""
        mark = self._begin(job, "astream")
        return _ANoted(self.workload.astream(str(mark), **self.way.named(job)), lambda: self._done(mark))

    def outside(self) -> None:
        """Run the workload outside every session."""
        mark = self._begin(self.nobody, "run")
        self.workload.run(str(mark))
        self._done(mark)

    async def aoutside(self) -> None:
        """Run the workload outside every session, in async."""
        mark = self._begin(self.nobody, "arun")
        await self.workload.arun(str(mark))
        self._done(mark)

    def hanging(self, job: Job) -> tuple[Any, asyncio.Event]:
        """Return a run that hangs in its model, and the event that says that it does."""
        mark = self._begin(job, "arun")
        reached = jobs.gate(mark)
        return self.workload.arun(f"{mark} {jobs.HANG}", **self.way.named(job)), reached

    def _begin(self, job: Job, kind: str) -> Mark:
        mark = job.next_mark()
        self.runs[mark] = (kind, False)
        return mark

    def _done(self, mark: Mark) -> None:
        self.runs[mark] = (self.runs[mark][0], True)


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
    """The kind of stream it needs: ``sync``, ``async``, or none."""
    scoped: bool = False
    """It needs a block: there is something to enter."""
    decorates: bool = False
    """It needs a block that is a decorator."""
    own: bool = False
    """It needs a block of ours: others' must be left in the order in which they were entered."""
    host: str = ""
    """Instrumentation scope of a server whose spans lie around the runs."""


class LogTrap(logging.Handler):
    """Collect every log record of warning level and above."""

    def __init__(self) -> None:
        super().__init__(logging.WARNING)
        self.lines: list[str] = []

    def emit(self, record: logging.LogRecord) -> None:
        self.lines.append(f"{record.name}: {record.getMessage()}")


_shapes: dict[tuple[str, str], Counter[Path]] = {}


def play(mode: Mode, workload: Workload, way: Way, *, sessions: int, **settings: Any) -> Verdict:
    """Play a cell with so many concurrent sessions and judge it."""
    cell = Cell(workload, way, [Job(f"user_{number:04d}_conv_{number:04d}") for number in range(sessions)])
    for kind in ("run", "arun", *({"sync": "stream", "async": "astream"}[item] for item in workload.streams)):
        shape_of(workload, kind)  # now: not in the midst of the cell
    trap = LogTrap()
    errors: list[str] = []
    logging.getLogger().addHandler(trap)
    try:
        with capture_spans(**settings) as captured, workload.instrumented():
            left_behind = Context().run(_play, mode, cell, errors)
            gc.collect()
    finally:
        logging.getLogger().removeHandler(trap)
        jobs.forget()
    runs = {mark: Run(shape_of(workload, kind), done) for mark, (kind, done) in cell.runs.items()}
    verdict = judge(captured.started, captured.spans, runs, host=mode.host)
    verdict.left_behind, verdict.errors, verdict.logs = left_behind, errors, trap.lines
    return verdict


def _play(mode: Mode, cell: Cell, errors: list[str]) -> int:
    try:
        mode.play(cell)
    except Exception as error:  # the verdict tells of it
        errors.append(f"{type(error).__name__}: {error}")
    gc.collect()
    return int(_binding.top() is not None or lai.current_session_id() is not None)


def shape_of(workload: Workload, kind: str) -> Counter[Path]:
    """Return the paths of one run that has the process to itself: what every other run must look like."""
    known = _shapes.get((workload.name, kind))
    if known is None:
        known = _shapes[workload.name, kind] = _record_shape(workload, kind)
    return known


def _record_shape(workload: Workload, kind: str) -> Counter[Path]:
    mark = Mark("alone", 0)

    async def consume() -> None:
        async for _ in workload.astream(str(mark)):
            pass

    with capture_spans() as captured, workload.instrumented():
        if kind == "run":
            workload.run(str(mark))
        elif kind == "arun":
            asyncio.run(workload.arun(str(mark)))
        elif kind == "stream":
            for _ in workload.stream(str(mark)):
                pass
        else:
            asyncio.run(consume())
    return shapes(captured.spans)[mark]
