"""Sessions from an HTTP header through the ASGI middleware, for each kind of endpoint, many at once."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterator

import httpx
import pytest
from fastapi import BackgroundTasks, FastAPI, WebSocket
from fastapi.responses import StreamingResponse
from fastapi.testclient import TestClient

from lucidic.asgi import SessionMiddleware

from .cells import Cell, Mode, play
from .impossible import LANGCHAIN_LOSES_ASYNC
from .kit_framework import KitFramework
from .ways import Way
from .workloads import PlainSpans
from .workloads_langchain import ParallelGraph


HEADER = "X-Session-Id"
FROM_HEADER = Way("HTTP header")


def build(cell: Cell) -> FastAPI:
    """Make an application whose endpoints run the workload of the job that the query names."""
    app = FastAPI()
    app.add_middleware(SessionMiddleware)

    @app.get("/async")
    async def in_async(job: int) -> None:
        await cell.awork(cell.jobs[job])

    @app.get("/sync")
    def in_sync(job: int) -> None:
        cell.work(cell.jobs[job])

    @app.get("/background")
    async def in_background(job: int, tasks: BackgroundTasks) -> None:
        tasks.add_task(cell.awork, cell.jobs[job])

    @app.get("/background-sync")
    async def in_background_sync(job: int, tasks: BackgroundTasks) -> None:
        tasks.add_task(cell.work, cell.jobs[job])

    @app.get("/task")
    async def in_a_task(job: int) -> None:
        await asyncio.create_task(cell.awork(cell.jobs[job]))

    @app.get("/stream")
    async def streamed(job: int) -> StreamingResponse:
        async def body() -> AsyncIterator[str]:
            async for chunk in cell.astream(cell.jobs[job]):
                yield str(chunk)

        return StreamingResponse(body())

    @app.get("/stream-sync")
    async def streamed_sync(job: int) -> StreamingResponse:
        def body() -> Iterator[str]:
            for chunk in cell.stream(cell.jobs[job]):
                yield str(chunk)

        return StreamingResponse(body())

    @app.websocket("/socket")
    async def socket(websocket: WebSocket, job: int) -> None:
        await websocket.accept()
        await cell.awork(cell.jobs[job])
        await websocket.send_text("done")
        await websocket.close()

    return app


def requests_at_once(path: str):
    """Return a mode: one request for each job, all at once, then one task without a session."""

    def mode(cell: Cell) -> None:
        async def main() -> None:
            transport = httpx.ASGITransport(build(cell))
            async with httpx.AsyncClient(transport=transport, base_url="http://test") as client:

                async def ask(number: int) -> None:
                    headers = {HEADER: cell.jobs[number].session_id}
                    answer = await client.get(path, params={"job": number}, headers=headers)
                    assert cell.jobs[number].session_id == answer.headers[HEADER]

                await asyncio.gather(*(ask(number) for number in range(len(cell.jobs))))
            await cell.aoutside()

        asyncio.run(main())

    return mode


def sockets(cell: Cell) -> None:
    """One websocket after the other."""
    with TestClient(build(cell)) as client:
        for number, job in enumerate(cell.jobs):
            headers = {HEADER: job.session_id}
            with client.websocket_connect(f"/socket?job={number}", headers=headers) as websocket:
                assert "done" == websocket.receive_text()


PATHS = ("/async", "/sync", "/background", "/background-sync", "/task", "/stream", "/stream-sync")


@pytest.mark.parametrize(
    "workload", [PlainSpans(), KitFramework(), ParallelGraph()], ids=lambda item: item.name
)
@pytest.mark.parametrize("path", PATHS)
def test_the_header_names_the_session_of_everything_the_request_does(workload, path):
    """Each span of a request is in the session of its header, whatever kind of endpoint serves it."""
    if LANGCHAIN_LOSES_ASYNC and isinstance(workload, ParallelGraph):
        pytest.skip("LangChain passes its run to no async code before Python 3.11")
    verdict = play(Mode(path, requests_at_once(path), host="fastapi"), workload, FROM_HEADER, sessions=4)
    faults = verdict.faults
    if path == "/stream-sync" and workload.plain_stream:
        # Starlette steps a sync body in a thread at a time: a plain span does not stay current between them.
        faults = {
            name: value for name, value in faults.items() if name not in ("misplaced", "extra_traces", "logs")
        }

    assert {} == faults


def test_websockets_have_the_session_of_their_header():
    """A websocket's work is in the session of its header."""
    assert {} == play(Mode("socket", sockets, host="fastapi"), KitFramework(), FROM_HEADER, sessions=3).faults
