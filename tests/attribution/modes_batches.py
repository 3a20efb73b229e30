"""Modes in which the framework runs several inputs in one call, or tries one more than once."""

from __future__ import annotations

import asyncio

from .cells import Cell, Mode
from .jobs import FAIL_FIRST, INNER, INNER_ID, Job


def batch(cell: Cell) -> None:
    """A batch of three inputs within one session."""
    for job in cell.jobs:
        with cell.block(job):
            cell.batch([job] * 3)
        cell.outside()


def abatch(cell: Cell) -> None:
    """Batches of three inputs, each within one session, gathered."""

    async def one(job: Job) -> None:
        async with cell.block(job):
            await cell.abatch([job] * 3)

    _gather(cell, one)


def batch_with_retries(cell: Cell) -> None:
    """Every first attempt of a batch fails."""
    for job in cell.jobs:
        with cell.block(job):
            cell.batch([job] * 2, FAIL_FIRST)


def abatch_with_retries(cell: Cell) -> None:
    """Every first attempt of gathered batches fails."""

    async def one(job: Job) -> None:
        async with cell.block(job):
            await cell.abatch([job] * 2, FAIL_FIRST)

    _gather(cell, one)


def retried(cell: Cell) -> None:
    """The first attempt fails, in gathered runs and in one thread."""

    async def one(job: Job) -> None:
        async with cell.block(job):
            await cell.awork(job, FAIL_FIRST)

    _gather(cell, one)
    for job in cell.jobs[:5]:
        with cell.block(job):
            cell.work(job, FAIL_FIRST)


def one_batch_of_many_sessions(cell: Cell) -> None:
    """One batch whose inputs belong to different sessions."""
    cell.batch(cell.jobs)
    cell.outside()


def one_abatch_of_many_sessions(cell: Cell) -> None:
    """The same in async."""

    async def main() -> None:
        await cell.abatch(cell.jobs)
        await cell.aoutside()

    asyncio.run(main())


def events(cell: Cell) -> None:
    """The framework's own stream of events or steps, gathered."""

    async def one(job: Job) -> None:
        async with cell.block(job):
            async for _ in cell.aevents(job):
                await asyncio.sleep(0)

    _gather(cell, one)


def inner_session(cell: Cell) -> None:
    """A tool or node opens a session of its own: its work is another trace, linked to the run."""

    async def one(job: Job) -> None:
        async with cell.block(job):
            await cell.awork(job, INNER)

    _gather(cell, one)


def inner_id(cell: Cell) -> None:
    """A tool or node runs the framework with another id in the data: the session stays."""

    async def one(job: Job) -> None:
        async with cell.block(job):
            await cell.awork(job, INNER_ID)

    _gather(cell, one)


def _gather(cell: Cell, one: object) -> None:
    async def main() -> None:
        await asyncio.gather(*map(one, cell.jobs))  # type: ignore[call-overload]
        await cell.aoutside()

    asyncio.run(main())


_RETRIES = frozenset({FAIL_FIRST})

MODES = (
    Mode("batch", batch, batches=True),
    Mode("abatch", abatch, batches=True),
    Mode("batch with retries", batch_with_retries, batches=True, orders=_RETRIES),
    Mode("abatch with retries", abatch_with_retries, batches=True, orders=_RETRIES),
    Mode("first attempt fails", retried, orders=_RETRIES),
    Mode("one batch of many sessions", one_batch_of_many_sessions, batches=True, keyed=True),
    Mode("one abatch of many sessions", one_abatch_of_many_sessions, batches=True, keyed=True),
    Mode("events", events, streams="events"),
    Mode("inner session in a tool", inner_session, orders=frozenset({INNER})),
    Mode("another id named in a tool", inner_id, orders=frozenset({INNER_ID})),
)
