"""Modes of one thread: in sequence, tasks, task groups, loop callbacks and queues."""

from __future__ import annotations

import asyncio
import sys
from contextlib import suppress
from functools import partial
from typing import Any

import anyio

import lucidic as lai

from .cells import Cell, Mode
from .jobs import FAIL_MODEL, Job


def in_sequence(cell: Cell) -> None:
    """One thread, one session after the other, work outside of any session in between."""
    for job in cell.jobs:
        with cell.block(job):
            cell.work(job)
        cell.outside()


def in_one_task(cell: Cell) -> None:
    """One task, sessions one after the other."""

    async def main() -> None:
        for job in cell.jobs:
            async with cell.block(job):
                await cell.awork(job)
            await cell.aoutside()

    asyncio.run(main())


def gathered(cell: Cell) -> None:
    """asyncio.gather, the session entered inside each coroutine."""

    async def one(job: Job) -> None:
        async with cell.block(job):
            await cell.awork(job)

    async def main() -> None:
        await asyncio.gather(*map(one, cell.jobs))
        await cell.aoutside()

    asyncio.run(main())


def tasks_made_inside(cell: Cell) -> None:
    """create_task called inside the session: the context is copied at creation."""

    async def main() -> None:
        tasks = []
        for job in cell.jobs:
            async with cell.block(job):
                tasks += [asyncio.create_task(cell.awork(job)) for _ in range(2)]
                await asyncio.sleep(0)
        await asyncio.gather(*tasks)
        await cell.aoutside()

    asyncio.run(main())


def task_group(cell: Cell) -> None:
    """asyncio.TaskGroup: one around all sessions, one within each."""

    async def one(job: Job) -> None:
        async with cell.block(job), asyncio.TaskGroup() as group:
            group.create_task(cell.awork(job))
            group.create_task(cell.awork(job))

    async def main() -> None:
        async with asyncio.TaskGroup() as group:
            for job in cell.jobs:
                group.create_task(one(job))
        await cell.aoutside()

    asyncio.run(main())


def failing_task_group(cell: Cell) -> None:
    """A task of the group fails, which cancels its sibling; then the same session works again."""

    async def failing(job: Job) -> None:
        run, reached = cell.hanging(job)
        with suppress(BaseExceptionGroup):  # noqa: F821  # there since 3.11, as task groups are
            async with asyncio.TaskGroup() as group:
                group.create_task(_drained(run))
                await reached.wait()
                group.create_task(cell.awork(job, FAIL_MODEL))

    async def one(job: Job) -> None:
        async with cell.block(job):
            await asyncio.create_task(
                failing(job)
            )  # up to Python 3.12 a failed group leaves its task cancelled
            await cell.awork(job)

    async def main() -> None:
        await asyncio.gather(*map(one, cell.jobs))
        await cell.aoutside()

    asyncio.run(main())


async def _drained(run: Any) -> None:
    await run


def loop_entered_again(cell: Cell) -> None:
    """nest_asyncio: run_until_complete inside running tasks that hold different sessions."""
    import nest_asyncio  # changes asyncio for good, so only in a process of its own

    nest_asyncio.apply()

    async def one(job: Job) -> None:
        async with cell.block(job):
            await cell.awork(job)
            asyncio.get_running_loop().run_until_complete(cell.awork(job))
            await cell.awork(job)

    async def main() -> None:
        for first in range(0, len(cell.jobs), 5):  # each nests deeper
            await asyncio.gather(*map(one, cell.jobs[first : first + 5]))
        await cell.aoutside()

    asyncio.run(main())


def fire_and_forget(cell: Cell) -> None:
    """The task starts in the session, which is left before the work begins."""

    async def late(job: Job, go: asyncio.Event) -> None:
        await go.wait()
        await cell.awork(job)

    async def main() -> None:
        go = asyncio.Event()
        tasks = []
        for job in cell.jobs:
            async with cell.block(job):
                tasks.append(asyncio.create_task(late(job, go)))
        await cell.aoutside()
        go.set()
        await asyncio.gather(*tasks)

    asyncio.run(main())


def anyio_task_group(cell: Cell) -> None:
    """An anyio task group started inside the session."""

    async def one(job: Job) -> None:
        async with cell.block(job), anyio.create_task_group() as group:
            group.start_soon(cell.awork, job)
            group.start_soon(cell.awork, job)

    async def main() -> None:
        async with anyio.create_task_group() as group:
            for job in cell.jobs:
                group.start_soon(one, job)

    anyio.run(main)


def call_later(cell: Cell) -> None:
    """loop.call_later armed inside the session; the callback starts the task."""

    async def main() -> None:
        loop = asyncio.get_running_loop()
        tasks: list[asyncio.Task[None]] = []
        fired = asyncio.Event()

        def fire(job: Job) -> None:
            tasks.append(asyncio.create_task(cell.awork(job)))
            if len(tasks) == len(cell.jobs):
                fired.set()

        for job in cell.jobs:
            with cell.block(job):
                loop.call_later(0, fire, job)
        await fired.wait()
        await asyncio.gather(*tasks)
        await cell.aoutside()

    asyncio.run(main())


async def _serve(cell: Cell, queue: asyncio.Queue[Job | None]) -> None:
    while (job := await queue.get()) is not None:
        async with cell.block(job):
            await cell.awork(job)


def server_started_by_the_first(cell: Cell) -> None:
    """A background task started lazily inside session 0 serves all others, each in its own session."""

    async def main() -> None:
        queue: asyncio.Queue[Job | None] = asyncio.Queue()
        server = None
        for job in cell.jobs:
            if server is None:
                async with cell.block(job):
                    server = asyncio.create_task(_serve(cell, queue))
            queue.put_nowait(job)
        queue.put_nowait(None)
        assert server is not None
        await server

    asyncio.run(main())


def queue_of_jobs(cell: Cell) -> None:
    """Long-lived workers take jobs that producers put on a queue inside sessions: no causal link."""

    async def worker(queue: asyncio.Queue[Job | None]) -> None:
        while (job := await queue.get()) is not None:
            await cell.awork(job)

    async def main() -> None:
        queue: asyncio.Queue[Job | None] = asyncio.Queue()
        workers = [asyncio.create_task(worker(queue)) for _ in range(3)]
        for job in cell.jobs:
            async with cell.block(job):
                queue.put_nowait(job)
            await asyncio.sleep(0)
        for _ in workers:
            queue.put_nowait(None)
        await asyncio.gather(*workers)

    asyncio.run(main())


def queue_of_bound_functions(cell: Cell) -> None:
    """The same, and the producer puts lai.bind(function)."""

    async def worker(queue: asyncio.Queue[Any]) -> None:
        while (call := await queue.get()) is not None:
            await call()

    async def main() -> None:
        queue: asyncio.Queue[Any] = asyncio.Queue()
        workers = [asyncio.create_task(worker(queue)) for _ in range(3)]
        for job in cell.jobs:
            async with cell.block(job):
                queue.put_nowait(lai.bind(partial(cell.awork, job)))
            await asyncio.sleep(0)
        for _ in workers:
            queue.put_nowait(None)
        await asyncio.gather(*workers)
        await cell.aoutside()

    asyncio.run(main())


def queue_of_carriers(cell: Cell) -> None:
    """The same, and the item carries the session: lai.inject and lai.extract, as for another process."""

    async def worker(queue: asyncio.Queue[Any]) -> None:
        while (item := await queue.get()) is not None:
            job, carrier = item
            async with lai.extract(carrier):
                await cell.awork(job)

    async def main() -> None:
        queue: asyncio.Queue[Any] = asyncio.Queue()
        workers = [asyncio.create_task(worker(queue)) for _ in range(3)]
        for job in cell.jobs:
            carrier: dict[str, str] = {}
            async with cell.block(job):
                lai.inject(carrier)
            queue.put_nowait((job, carrier))
        for _ in workers:
            queue.put_nowait(None)
        await asyncio.gather(*workers)
        await cell.aoutside()

    asyncio.run(main())


def overlapping_turns(cell: Cell) -> None:
    """Three turns of each conversation interleaved with all others; two turns of one session at once."""

    async def turn(job: Job) -> None:
        async with cell.block(job):
            await cell.awork(job)

    async def main() -> None:
        for _ in range(3):
            await asyncio.gather(*(turn(job) for job in cell.jobs))
        first = cell.jobs[0]
        await asyncio.gather(turn(first), turn(first))

    asyncio.run(main())


def set_and_never_cleared(cell: Cell) -> None:
    """Set in a task and never cleared: neither other tasks nor the parent see it."""

    async def one(job: Job) -> None:
        cell.block(job).__enter__()
        await cell.awork(job)

    async def main() -> None:
        await asyncio.gather(*map(one, cell.jobs))
        await cell.aoutside()
        assert lai.current_session_id() is None

    asyncio.run(main())


MODES = (
    Mode("in sequence", in_sequence),
    Mode("in sequence in one task", in_one_task),
    Mode("gather", gathered),
    Mode("tasks made inside the session", tasks_made_inside),
    Mode("fire and forget", fire_and_forget),
    Mode("anyio task group", anyio_task_group),
    Mode("call_later", call_later, scoped=True),
    Mode("server task started by the first session", server_started_by_the_first),
    Mode("queue of jobs", queue_of_jobs, severed=True),
    Mode("queue of bound functions", queue_of_bound_functions, scoped=True),
    Mode("queue of carriers", queue_of_carriers, scoped=True),
    Mode("overlapping turns", overlapping_turns),
    Mode("set and never cleared", set_and_never_cleared, scoped=True),
    Mode("loop entered again", loop_entered_again, apart=2),
)
if sys.version_info >= (3, 11):
    MODES += (Mode("TaskGroup", task_group), Mode("failing TaskGroup", failing_task_group))
