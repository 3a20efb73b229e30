"""A storm: many mixed conversations at once, each ended by chance in its own way."""

from __future__ import annotations

import asyncio
import random
from collections import Counter
from collections.abc import Awaitable, Callable
from contextlib import suppress

from tests.attribution.cells import Cell
from tests.attribution.jobs import FAIL_MODEL, FAIL_TOOL, Job


class Storm:
    """Play every job of a cell at once; what happens to each is drawn from a seed."""

    def __init__(self, seed: int) -> None:
        self._random = random.Random(seed)
        self.ends: Counter[str] = Counter()
        """How many conversations ended in which way."""

    def __call__(self, cell: Cell) -> None:
        ways: list[Callable[[Cell, Job], Awaitable[None]]] = [
            self._to_its_end,
            self._to_its_end,
            self._failing_model,
            self._failing_tool,
            self._cancelled_in_the_model,
            self._cancelled_anywhere,
            self._left_early,
        ]

        async def converse(job: Job) -> None:
            play = self._random.choice(ways)
            async with cell.block(job):
                await play(cell, job)
            self.ends[play.__name__.strip("_")] += 1

        async def main() -> None:
            await asyncio.gather(*map(converse, cell.jobs))
            await cell.aoutside()

        asyncio.run(main())

    async def _to_its_end(self, cell: Cell, job: Job) -> None:
        await cell.awork(job)

    async def _failing_model(self, cell: Cell, job: Job) -> None:
        await cell.afail(job, FAIL_MODEL)

    async def _failing_tool(self, cell: Cell, job: Job) -> None:
        await cell.afail(job, FAIL_TOOL)

    async def _cancelled_in_the_model(self, cell: Cell, job: Job) -> None:
        run, reached = cell.hanging(job)
        task = asyncio.ensure_future(run)
        await reached.wait()
        task.cancel()
        with suppress(asyncio.CancelledError):
            await task

    async def _cancelled_anywhere(self, cell: Cell, job: Job) -> None:
        task = asyncio.create_task(cell.awork(job))
        for _ in range(self._random.randrange(1, 60)):
            await asyncio.sleep(0)
        task.cancel()
        with suppress(asyncio.CancelledError):
            await task

    async def _left_early(self, cell: Cell, job: Job) -> None:
        stream = cell.astream(job)
        await stream.__anext__()
        await stream.aclose()  # type: ignore[attr-defined]  # it is a generator
