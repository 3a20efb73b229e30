"""Modes in which something fails, is cancelled, is repeated or is nested."""

from __future__ import annotations

import asyncio
import builtins
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from contextvars import copy_context
from typing import Any

from .cells import Cell, Mode
from .jobs import FAIL_MODEL, FAIL_TOOL, Job


def failing_model(cell: Cell) -> None:
    """The model raises; work without session in the same task; then the same session works again."""

    async def one(job: Job) -> None:
        async with cell.block(job):
            await cell.afail(job, FAIL_MODEL)
        await cell.aoutside()
        async with cell.block(job):
            await cell.awork(job)

    async def main() -> None:
        await asyncio.gather(*map(one, cell.jobs))

    asyncio.run(main())


def failing_model_in_threads(cell: Cell) -> None:
    """The model raises out of the block in pool threads; then work without session on them."""

    def inside(job: Job) -> None:
        with cell.block(job):
            cell.work(job, FAIL_MODEL)

    def one(job: Job) -> None:
        with suppress(*cell.workload.errors):
            inside(job)
        cell.outside()

    with ThreadPoolExecutor(4) as pool:
        list(pool.map(one, cell.jobs))


def failing_tool(cell: Cell) -> None:
    """A tool or node raises."""

    async def one(job: Job) -> None:
        async with cell.block(job):
            await cell.afail(job, FAIL_TOOL)
            await cell.awork(job)

    async def main() -> None:
        await asyncio.gather(*map(one, cell.jobs))

    asyncio.run(main())


def cancelled(cell: Cell) -> None:
    """task.cancel() in the middle of the model call."""

    async def one(job: Job) -> None:
        async with cell.block(job):
            run, reached = cell.hanging(job)
            task = asyncio.ensure_future(run)
            await reached.wait()
            task.cancel()
            with suppress(asyncio.CancelledError):
                await task

    async def main() -> None:
        await asyncio.gather(*map(one, cell.jobs))
        await cell.aoutside()

    asyncio.run(main())


def timed_out(cell: Cell) -> None:
    """wait_for with a timeout inside the session, which goes on afterwards in the same task."""

    async def one(job: Job) -> None:
        async with cell.block(job):
            run, reached = cell.hanging(job)
            task = asyncio.ensure_future(run)
            await reached.wait()
            with suppress(asyncio.TimeoutError):
                await asyncio.wait_for(task, timeout=0.001)
            await cell.awork(job)

    async def main() -> None:
        await asyncio.gather(*map(one, cell.jobs))

    asyncio.run(main())


def _pairs(cell: Cell) -> list[tuple[Job, Job]]:
    return list(zip(cell.jobs[::2], cell.jobs[1::2], strict=False))


def nested(cell: Cell) -> None:
    """A { run, B { run }, run } run without: the outer session comes back."""

    async def one(pair: tuple[Job, Job]) -> None:
        outer, inner = pair
        async with cell.block(outer):
            await cell.awork(outer)
            async with cell.block(inner):
                await cell.awork(inner)
            await cell.awork(outer)
        await cell.aoutside()

    async def main() -> None:
        await asyncio.gather(*map(one, _pairs(cell)))

    asyncio.run(main())


def nested_in_threads(cell: Cell) -> None:
    """The same in threads."""

    def one(pair: tuple[Job, Job]) -> None:
        outer, inner = pair
        with cell.block(outer):
            cell.work(outer)
            with cell.block(inner):
                cell.work(inner)
            cell.work(outer)
        cell.outside()

    with ThreadPoolExecutor(4) as pool:
        list(pool.map(one, _pairs(cell)))


def closed_in_the_wrong_order(cell: Cell) -> None:
    """A enters, B enters, A leaves, B goes on, B leaves; then work without."""
    for outer, inner in _pairs(cell):
        first, second = cell.block(outer), cell.block(inner)
        first.__enter__()
        second.__enter__()
        first.__exit__(None, None, None)
        cell.work(inner)
        second.__exit__(None, None, None)
        cell.outside()


def _in_one_context(cells: list[Callable[[], Any]]) -> None:
    """Run steps one after the other in this context, as a notebook's kernel runs cells."""
    for step in cells:
        step()


def left_in_a_later_cell(cell: Cell) -> None:
    """Notebook: a cell enters a session, the next works in it, a third leaves it."""
    for job in cell.jobs:
        block = cell.block(job)
        _in_one_context(
            [
                block.__enter__,
                lambda job=job: cell.work(job),
                lambda block=block: block.__exit__(None, None, None),
            ]
        )
        cell.outside()


def never_left(cell: Cell) -> None:
    """Notebook: the previous session is never left (a cell run again): the new one wins."""
    blocks = []
    for job in cell.jobs:
        block = cell.block(job)
        block.__enter__()
        blocks.append(block)
        cell.work(job)
    for block in reversed(blocks):
        block.__exit__(None, None, None)


def entered_in_a_cell_with_await(cell: Cell) -> None:
    """Notebook: entered in a cell with top-level await, whose context is lost; left in a third cell."""
    vars(builtins)["__IPYTHON__"] = True
    try:
        for job in cell.jobs:
            block = cell.block(job)
            copy_context().run(block.__enter__)
            copy_context().run(cell.work, job)
            copy_context().run(block.__exit__, None, None, None)
            copy_context().run(cell.outside)
    finally:
        del vars(builtins)["__IPYTHON__"]


MODES = (
    Mode("failing model", failing_model),
    Mode("failing model in threads", failing_model_in_threads),
    Mode("failing tool", failing_tool),
    Mode("cancelled in the model", cancelled),
    Mode("timed out in the model", timed_out),
    Mode("nested sessions", nested),
    Mode("nested sessions in threads", nested_in_threads),
    Mode("blocks left in the wrong order", closed_in_the_wrong_order, scoped=True, own=True),
    Mode("left in a later notebook cell", left_in_a_later_cell, scoped=True),
    Mode("entered in a notebook cell with await", entered_in_a_cell_with_await, scoped=True, own=True),
    Mode("never left before the next", never_left, scoped=True),
)
