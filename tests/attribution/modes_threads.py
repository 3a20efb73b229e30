"""Modes of several threads: with and without a copied context, pools, timers, loops in threads."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from contextvars import copy_context

from .cells import Cell, Mode
from .jobs import Job


def _join(threads: list[threading.Thread]) -> None:
    for thread in threads:
        thread.join()


def entered_in_the_thread(cell: Cell) -> None:
    """A new thread per session, the session entered in the thread."""

    def one(job: Job) -> None:
        with cell.block(job):
            cell.work(job)
        cell.outside()

    threads = [threading.Thread(target=one, args=(job,)) for job in cell.jobs]
    for thread in threads:
        thread.start()
    _join(threads)


def pool_reused(cell: Cell) -> None:
    """Pool threads reused by many sessions, entered in the worker; then work without one on them."""

    def one(job: Job) -> None:
        with cell.block(job):
            cell.work(job)

    with ThreadPoolExecutor(4) as pool:
        list(pool.map(one, cell.jobs))
        list(pool.map(lambda _: cell.outside(), range(4)))


def submitted(cell: Cell) -> None:
    """The session entered by the submitter, the work done by ThreadPoolExecutor.submit."""
    futures: list[Future[None]] = []
    with ThreadPoolExecutor(4) as pool:
        for job in cell.jobs:
            with cell.block(job):
                futures.append(pool.submit(cell.work, job))
        for future in futures:
            future.result()
        pool.submit(cell.outside).result()


def mapped(cell: Cell) -> None:
    """The session entered by the caller of Executor.map."""
    with ThreadPoolExecutor(4) as pool:
        for job in cell.jobs:
            with cell.block(job):
                list(pool.map(cell.work, [job, job]))


def thread_started_inside(cell: Cell) -> None:
    """threading.Thread(...).start() inside the session, the work in the thread."""
    threads = []
    for job in cell.jobs:
        with cell.block(job):
            thread = threading.Thread(target=cell.work, args=(job,))
            thread.start()
            threads.append(thread)
    _join(threads)
    cell.outside()


def timer_armed_inside(cell: Cell) -> None:
    """threading.Timer armed inside the session."""
    threads: list[threading.Thread] = []
    for job in cell.jobs:
        with cell.block(job):
            timer = threading.Timer(0, cell.work, args=(job,))
            timer.start()
            threads.append(timer)
    _join(threads)


def submitted_with_a_copied_context(cell: Cell) -> None:
    """The documented idiom: submit(copy_context().run, function)."""
    with ThreadPoolExecutor(4) as pool:
        futures = []
        for job in cell.jobs:
            with cell.block(job):
                futures.append(pool.submit(copy_context().run, cell.work, job))
        for future in futures:
            future.result()


def to_thread(cell: Cell) -> None:
    """asyncio.to_thread inside the session: copies the context."""

    async def one(job: Job) -> None:
        async with cell.block(job):
            await asyncio.to_thread(cell.work, job)

    _gather(cell, one)


def run_in_executor(cell: Cell) -> None:
    """loop.run_in_executor inside the session: copies no context."""

    async def one(job: Job) -> None:
        async with cell.block(job):
            await asyncio.get_running_loop().run_in_executor(None, cell.work, job)

    _gather(cell, one)


def loop_in_a_worker_thread(cell: Cell) -> None:
    """Sync in async: asyncio.to_thread(asyncio.run, coroutine) inside the session."""

    async def one(job: Job) -> None:
        async with cell.block(job):
            await asyncio.to_thread(asyncio.run, cell.awork(job))

    _gather(cell, one)


def loop_in_a_fresh_thread(cell: Cell) -> None:
    """The session entered by the caller; a fresh thread runs asyncio.run(coroutine)."""
    threads = []
    for job in cell.jobs:
        with cell.block(job):
            thread = threading.Thread(target=lambda job=job: asyncio.run(cell.awork(job)))
            thread.start()
            threads.append(thread)
    _join(threads)


def run_coroutine_threadsafe(cell: Cell) -> None:
    """From threads inside their sessions: asyncio.run_coroutine_threadsafe(coroutine, loop)."""

    async def main() -> None:
        loop = asyncio.get_running_loop()

        def caller(job: Job) -> None:
            with cell.block(job):
                asyncio.run_coroutine_threadsafe(cell.awork(job), loop).result()

        with ThreadPoolExecutor(4) as pool:
            await asyncio.gather(*(loop.run_in_executor(pool, caller, job) for job in cell.jobs))

    asyncio.run(main())


def _gather(cell: Cell, one: Callable[[Job], object]) -> None:
    async def main() -> None:
        await asyncio.gather(*map(one, cell.jobs))  # type: ignore[call-overload]
        await asyncio.to_thread(cell.outside)

    asyncio.run(main())


MODES = (
    Mode("thread enters the session", entered_in_the_thread),
    Mode("pool worker enters the session", pool_reused),
    Mode("submit inside the session", submitted),
    Mode("Executor.map inside the session", mapped),
    Mode("thread started inside the session", thread_started_inside),
    Mode("timer armed inside the session", timer_armed_inside),
    Mode("submit with a copied context", submitted_with_a_copied_context),
    Mode("to_thread", to_thread),
    Mode("run_in_executor", run_in_executor),
    Mode("loop in a worker thread", loop_in_a_worker_thread),
    Mode("loop in a fresh thread", loop_in_a_fresh_thread),
    Mode("run_coroutine_threadsafe", run_coroutine_threadsafe),
)
