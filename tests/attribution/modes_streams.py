"""Modes of generators and streams: interleaved, broken off, dropped, consumed elsewhere."""

from __future__ import annotations

import asyncio
import gc
import itertools
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Iterator
from contextlib import asynccontextmanager, suppress
from typing import Any

from .cells import Cell, Mode
from .jobs import Job


def _round_robin(streams: Iterable[Iterator[Any]]) -> None:
    for _ in itertools.zip_longest(*streams):
        pass


async def _round_robin_async(
    streams: list[Any], step: Callable[[Any], Awaitable[Any]] = lambda stream: stream.__anext__()
) -> None:
    while streams:
        for stream in list(streams):
            try:
                await step(stream)
            except StopAsyncIteration:
                streams.remove(stream)


async def _in_a_task(stream: Any) -> Any:
    return await asyncio.wait_for(_next(stream), timeout=60)


async def _next(stream: Any) -> Any:
    return await stream.__anext__()


def _held(cell: Cell, job: Job) -> Iterator[Any]:
    """Return a user's generator that holds the session in a ``with`` block."""
    with cell.block(job):
        yield from cell.stream(job)


async def _aheld(cell: Cell, job: Job) -> AsyncIterator[Any]:
    async with cell.block(job):
        async for chunk in cell.astream(job):
            yield chunk


def _held_runs(cell: Cell, job: Job) -> Iterator[Any]:
    """Return a user's generator that runs the workload at each step of its block."""
    with cell.block(job):
        for _ in range(3):
            cell.work(job)
            yield


async def _aheld_runs(cell: Cell, job: Job) -> AsyncIterator[Any]:
    async with _entered(cell, job):
        for _ in range(3):
            await cell.awork(job)
            yield


@asynccontextmanager
async def _entered(cell: Cell, job: Job) -> AsyncIterator[None]:
    """A user's own context manager around the block."""
    async with cell.block(job):
        yield


def _decorated(cell: Cell, job: Job) -> Iterator[Any]:
    def stream() -> Iterator[Any]:
        yield from cell.stream(job)

    return cell.block(job)(stream)()  # type: ignore[no-any-return]


def _adecorated(cell: Cell, job: Job) -> Any:
    async def stream() -> AsyncIterator[Any]:
        async for chunk in cell.astream(job):
            yield chunk

    return cell.block(job)(stream)()


def consumed_inside(cell: Cell) -> None:
    """With the session: for chunk in stream."""
    for job in cell.jobs:
        with cell.block(job):
            for _ in cell.stream(job):
                pass
    cell.outside()


def consumed_inside_async(cell: Cell) -> None:
    """Each task: async with the session: async for chunk."""

    async def one(job: Job) -> None:
        async with cell.block(job):
            async for _ in cell.astream(job):
                await asyncio.sleep(0)

    async def main() -> None:
        await asyncio.gather(*map(one, cell.jobs))
        await cell.aoutside()

    asyncio.run(main())


def decorated_interleaved(cell: Cell) -> None:
    """Decorated generator functions, interleaved in one thread."""
    _round_robin([_decorated(cell, job) for job in cell.jobs])
    cell.outside()


def decorated_interleaved_async(cell: Cell) -> None:
    """Decorated async generator functions, consumed round-robin in one task."""

    async def main() -> None:
        await _round_robin_async([_adecorated(cell, job) for job in cell.jobs])
        await cell.aoutside()

    asyncio.run(main())


def decorated_steps_in_tasks(cell: Cell) -> None:
    """Decorated async generators, every step is wait_for(agen.__anext__())."""

    async def main() -> None:
        await _round_robin_async([_adecorated(cell, job) for job in cell.jobs], _in_a_task)
        await cell.aoutside()

    asyncio.run(main())


def decorated_coroutine(cell: Cell) -> None:
    """Decorator around an async function."""

    async def main() -> None:
        await asyncio.gather(*(cell.block(job)(cell.awork)(job) for job in cell.jobs))
        await cell.aoutside()

    asyncio.run(main())


def steps_in_their_sessions(cell: Cell) -> None:
    """Streams interleaved in one thread, every next() under its own session."""
    streams = {job: cell.stream(job) for job in cell.jobs}
    while streams:
        for job in list(streams):
            with cell.block(job):
                try:
                    next(streams[job])
                except StopIteration:
                    del streams[job]


def held_interleaved(cell: Cell) -> None:
    """User generators with the block inside, interleaved: each resume sees the consumer's context."""
    _round_robin([_held(cell, job) for job in cell.jobs])
    cell.outside()


def held_interleaved_async(cell: Cell) -> None:
    """Async generators with the block inside, interleaved in one task."""

    async def main() -> None:
        await _round_robin_async([_aheld(cell, job) for job in cell.jobs])
        await cell.aoutside()

    asyncio.run(main())


def held_steps_in_tasks(cell: Cell) -> None:
    """The keep-alive pattern of SSE: every step is a new task with a copied context."""

    async def main() -> None:
        await _round_robin_async([_aheld(cell, job) for job in cell.jobs], _in_a_task)
        await cell.aoutside()

    asyncio.run(main())


def runs_interleaved(cell: Cell) -> None:
    """Generators with the block inside, interleaved, each of whose steps makes a run of its own."""
    _round_robin([_held_runs(cell, job) for job in cell.jobs])
    cell.outside()


def runs_interleaved_async(cell: Cell) -> None:
    """The same with async generators, the block in a context manager of the user's."""

    async def main() -> None:
        await _round_robin_async([_aheld_runs(cell, job) for job in cell.jobs])
        await cell.aoutside()

    asyncio.run(main())


def runs_in_tasks(cell: Cell) -> None:
    """The same, every step a new task with a copied context."""

    async def main() -> None:
        await _round_robin_async([_aheld_runs(cell, job) for job in cell.jobs], _in_a_task)
        await cell.aoutside()

    asyncio.run(main())


def runs_in_threads(cell: Cell) -> None:
    """The same with plain generators, every step in a thread with a copied context, as a web framework does."""
    over = object()

    async def drain(stream: Iterator[Any]) -> None:
        while await asyncio.to_thread(next, stream, over) is not over:
            pass

    async def main() -> None:
        await asyncio.gather(*(drain(_held_runs(cell, job)) for job in cell.jobs))
        await cell.aoutside()

    asyncio.run(main())


def escaped(cell: Cell) -> None:
    """First chunk inside the session, the rest after it was left (a streaming response)."""
    streams = []
    for job in cell.jobs:
        with cell.block(job):
            stream = cell.stream(job)
            next(stream)
            streams.append(stream)
    _round_robin(streams)


def escaped_to_a_task(cell: Cell) -> None:
    """Created and started inside the session, consumed later in another task without it."""

    async def start(job: Job) -> Any:
        async with cell.block(job):
            stream = cell.astream(job)
            await stream.__anext__()
            return stream

    async def drain(stream: Any) -> None:
        async for _ in stream:
            await asyncio.sleep(0)

    async def main() -> None:
        streams = await asyncio.gather(*(asyncio.create_task(start(job)) for job in cell.jobs))
        await asyncio.gather(*(asyncio.create_task(drain(stream)) for stream in streams))

    asyncio.run(main())


def broken_off(cell: Cell) -> None:
    """Early break inside the session and close, then work without one in the same context."""
    for job in cell.jobs:
        with cell.block(job):
            stream = cell.stream(job)
            for _ in itertools.islice(stream, 2):
                pass
            stream.close()  # type: ignore[attr-defined]
        cell.outside()


def held_and_dropped(cell: Cell) -> None:
    """Early break of a generator that holds the session, dropped without close(); then work without."""
    for job in cell.jobs:
        stream = _held(cell, job)
        next(stream)
        next(stream)
        del stream
        gc.collect()
        cell.outside()


def held_and_closed_async(cell: Cell) -> None:
    """Early break of an async generator that holds the session, explicit aclose()."""

    async def one(job: Job) -> None:
        stream: Any = _aheld(cell, job)
        await stream.__anext__()
        await stream.__anext__()
        await stream.aclose()
        await cell.aoutside()

    async def main() -> None:
        await asyncio.gather(*map(one, cell.jobs))

    asyncio.run(main())


def held_and_finalised(cell: Cell) -> None:
    """Early break; the loop's hook finalises the generator in another task; then work without."""

    async def one(job: Job) -> None:
        stream: Any = _aheld(cell, job)
        await stream.__anext__()
        await stream.__anext__()
        del stream
        gc.collect()
        for _ in range(5):
            await asyncio.sleep(0)
        await cell.aoutside()

    async def main() -> None:
        await asyncio.gather(*map(one, cell.jobs))

    asyncio.run(main())


def dropped_in_another_session(cell: Cell) -> None:
    """A generator started in task A, dropped in task B, which has another session."""

    async def start(job: Job, shelf: list[Any]) -> None:
        async with cell.block(job):
            stream = cell.astream(job)
            await stream.__anext__()
            shelf.append(stream)

    async def drop(job: Job, shelf: list[Any]) -> None:
        async with cell.block(job):
            shelf.clear()
            gc.collect()
            for _ in range(5):
                await asyncio.sleep(0)
            await cell.awork(job)

    async def main() -> None:
        for first, second in zip(cell.jobs[::2], cell.jobs[1::2], strict=False):
            shelf: list[Any] = []
            await asyncio.create_task(start(first, shelf))
            await asyncio.create_task(drop(second, shelf))
        with suppress(asyncio.CancelledError):
            await asyncio.get_running_loop().shutdown_asyncgens()

    asyncio.run(main())


MODES = (
    Mode("stream inside the session", consumed_inside, streams="sync"),
    Mode("async stream inside the session", consumed_inside_async, streams="async"),
    Mode("decorated coroutine", decorated_coroutine, decorates=True),
    Mode("decorated generators interleaved", decorated_interleaved, streams="sync", decorates=True),
    Mode(
        "decorated async generators interleaved", decorated_interleaved_async, streams="async", decorates=True
    ),
    Mode(
        "decorated async generators, steps in tasks",
        decorated_steps_in_tasks,
        streams="async",
        decorates=True,
    ),
    Mode("streams interleaved, each step in its session", steps_in_their_sessions, streams="sync"),
    Mode("generators holding a block interleaved", held_interleaved, streams="sync"),
    Mode("async generators holding a block interleaved", held_interleaved_async, streams="async"),
    Mode("async generators holding a block, steps in tasks", held_steps_in_tasks, streams="async"),
    Mode("generators holding a block interleaved, runs in it", runs_interleaved, own=True),
    Mode("async generators holding a block interleaved, runs in it", runs_interleaved_async, own=True),
    Mode("async generators holding a block, steps in tasks, runs in it", runs_in_tasks, own=True),
    Mode("generators holding a block, steps in threads, runs in it", runs_in_threads, own=True),
    Mode("streams that outlive their block", escaped, streams="sync"),
    Mode("streams consumed in another task", escaped_to_a_task, streams="async"),
    Mode("stream broken off and closed", broken_off, streams="sync"),
    Mode("generator holding a block dropped", held_and_dropped, streams="sync"),
    Mode("async generator holding a block closed", held_and_closed_async, streams="async"),
    Mode("async generator holding a block finalised", held_and_finalised, streams="async"),
    Mode("async stream dropped in another session", dropped_in_another_session, streams="async"),
)
