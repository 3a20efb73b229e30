"""Modes that give the session themselves: calls of the public API that are no block around the work."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextvars import copy_context

import lucidic as lai
from lucidic import context

from .cells import Cell, Mode
from .jobs import Job


def _gather(cell: Cell, one: Callable[[Job], Awaitable[None]]) -> None:
    async def main() -> None:
        await asyncio.gather(*(asyncio.ensure_future(one(job)) for job in cell.jobs))
        await cell.aoutside()

    asyncio.run(main())


def run_in_session(cell: Cell) -> None:
    """run_in_session around sync work, in a pool."""
    with ThreadPoolExecutor(4) as pool:
        list(pool.map(lambda job: lai.run_in_session(job.session_id, cell.work, job), cell.jobs))
    cell.outside()


def run_in_session_async(cell: Cell) -> None:
    """run_in_session around coroutine functions, gathered."""
    _gather(cell, lambda job: lai.run_in_session(job.session_id, cell.awork, job))


def run_in_session_generators(cell: Cell) -> None:
    """run_in_session around generator functions, consumed round-robin."""

    def stream(job: Job) -> Iterator[int]:
        for number in range(2):
            cell.work(job)
            yield number

    streams = [lai.run_in_session(job.session_id, stream, job) for job in cell.jobs]
    for _ in zip(*streams, strict=True):
        pass
    cell.outside()


def run_session(cell: Cell) -> None:
    """run_session opens each session around a coroutine function, and ends it."""
    _gather(
        cell,
        lambda job: lai.run_session(cell.awork, job, init_params={"session_id": job.session_id}),
    )


def session_async(cell: Cell) -> None:
    """session_async, opened, left, and opened again under the same id."""

    async def one(job: Job) -> None:
        for _ in range(2):
            async with lai.session_async(session_id=job.session_id):
                await cell.awork(job)

    _gather(cell, one)


def init_and_end(cell: Cell) -> None:
    """init() in a task of its own, then end_session(): many are open at once, and none is guessed."""

    async def one(job: Job) -> None:
        lai.init(session_id=job.session_id)
        await cell.awork(job)
        lai.end_session()

    async def main() -> None:
        # Two more, so that never exactly one is open: it would be everybody's.
        for number in range(2):
            copy_context().run(lai.init, session_id=f"decoy_of_the_process_{number}")
        await asyncio.gather(*(asyncio.ensure_future(one(job)) for job in cell.jobs))
        await asyncio.create_task(cell.aoutside())
        for number in range(2):
            lai.end_session(session_id=f"decoy_of_the_process_{number}")

    asyncio.run(main())


def context_set(cell: Cell) -> None:
    """context.set() at the root of a task, never reset."""

    async def one(job: Job) -> None:
        context.set(job.session_id)
        await cell.awork(job)

    _gather(cell, one)


def set_in_pool_threads(cell: Cell) -> None:
    """set_active_session in pool threads and never cleared: the next job on the thread sets its own."""

    def one(job: Job) -> None:
        lai.set_active_session(job.session_id)
        cell.work(job)

    with ThreadPoolExecutor(2) as pool:
        list(pool.map(one, cell.jobs))
    cell.outside()


def copied_context_runs(cell: Cell) -> None:
    """set_active_session inside copy_context().run(): neither the caller nor other copies see it."""
    contexts = []
    for job in cell.jobs:
        copied = copy_context()
        copied.run(lai.set_active_session, job.session_id)
        contexts.append((copied, job))
    for copied, job in contexts:
        copied.run(cell.work, job)
        cell.outside()


def streams_of_decorated_methods(cell: Cell) -> None:
    """An async generator method, decorated with the session of its call, stepped from several tasks."""

    async def drain(job: Job) -> None:
        @lai.bind_session(job.session_id)
        async def stream() -> AsyncIterator[int]:
            for number in range(3):
                await cell.awork(job)
                yield number

        steps = stream()
        while await asyncio.create_task(_next(steps)) is not None:
            pass

    _gather(cell, drain)


async def _next(steps: AsyncIterator[int]) -> int | None:
    return await anext(steps, None)


MODES = (
    Mode("run_in_session", run_in_session, given=True),
    Mode("run_in_session of a coroutine", run_in_session_async, given=True),
    Mode("run_in_session of generators", run_in_session_generators, given=True),
    Mode("run_session", run_session, given=True),
    Mode("session_async twice", session_async, given=True),
    Mode("init and end_session", init_and_end, given=True),
    Mode("context.set", context_set, given=True),
    Mode("set in pool threads, never cleared", set_in_pool_threads, given=True),
    Mode("set in copied contexts", copied_context_runs, given=True),
    Mode("decorated method stepped from tasks", streams_of_decorated_methods, given=True),
)
