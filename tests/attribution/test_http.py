"""Sessions from an HTTP header, given in every way, for each kind of endpoint, many at once."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import AbstractContextManager, nullcontext
from typing import Annotated, Any

import httpx
import pytest
from fastapi import BackgroundTasks, Depends, FastAPI, Header, Request, WebSocket
from fastapi.responses import Response, StreamingResponse
from fastapi.testclient import TestClient

import lucidic as lai
from lucidic.asgi import SessionMiddleware
from lucidic.testing import session_id_of

from .cells import Cell, Mode, play
from .impossible import LANGCHAIN_LOSES_ASYNC
from .kit_framework import KitFramework
from .ways import Way
from .workloads import PlainSpans
from .workloads_agents import OpenAIAgents, PydanticAI
from .workloads_langchain import AgentWithTools, ParallelGraph


HEADER = "X-Session-Id"
FROM_HEADER = Way("HTTP header")


class PureMiddleware:
    """A user's own pure ASGI middleware around a block."""

    def __init__(self, app: Any) -> None:
        self._app = app

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        given = dict(scope.get("headers", ())).get(HEADER.lower().encode())
        async with nullcontext() if given is None else lai.bind_session(given.decode()):
            await self._app(scope, receive, send)


async def around_the_request(
    request: Request, call_next: Callable[[Request], Awaitable[Response]]
) -> Response:
    """Starlette's http middleware around a block."""
    with lai.bind_session(request.headers[HEADER]):
        return await call_next(request)


async def set_and_never_reset(
    request: Request, call_next: Callable[[Request], Awaitable[Response]]
) -> Response:
    """Starlette's http middleware that sets the session and never resets it."""
    lai.context.set(session_id=request.headers[HEADER])
    return await call_next(request)


async def async_dependency(x_session_id: Annotated[str, Header()]) -> AsyncIterator[None]:
    """A dependency around a block."""
    async with lai.bind_session(x_session_id):
        yield


def sync_dependency(x_session_id: Annotated[str, Header()]) -> Iterator[None]:
    """A dependency that FastAPI runs in a context which it throws away."""
    with lai.bind_session(x_session_id):
        yield


GIVEN: dict[str, Callable[[], FastAPI]] = {
    "our middleware": lambda: _with(SessionMiddleware),
    "pure middleware": lambda: _with(PureMiddleware),
    "http middleware": lambda: _with_http(around_the_request),
    "http middleware that sets": lambda: _with_http(set_and_never_reset),
    "async dependency": lambda: FastAPI(dependencies=[Depends(async_dependency)]),
    "sync dependency": lambda: FastAPI(dependencies=[Depends(sync_dependency)]),
    "block in the endpoint": FastAPI,
}
"""The ways of giving a request its session."""


def _with(middleware: Any) -> FastAPI:
    app = FastAPI()
    app.add_middleware(middleware)
    return app


def _with_http(middleware: Any) -> FastAPI:
    app = FastAPI()
    app.middleware("http")(middleware)
    return app


def build(cell: Cell, given: str = "our middleware") -> FastAPI:
    """Make an application whose endpoints run the workload of the job that the query names."""
    app = GIVEN[given]()

    def block(job: int) -> AbstractContextManager[Any]:
        inside = given == "block in the endpoint"
        return lai.bind_session(cell.jobs[job].session_id) if inside else nullcontext()

    @app.get("/async")
    async def in_async(job: int) -> None:
        with block(job):
            await cell.awork(cell.jobs[job])

    @app.get("/sync")
    def in_sync(job: int) -> None:
        with block(job):
            cell.work(cell.jobs[job])

    @app.get("/background")
    async def in_background(job: int, tasks: BackgroundTasks) -> None:
        with block(job):
            tasks.add_task(cell.awork, cell.jobs[job])

    @app.get("/background-sync")
    async def in_background_sync(job: int, tasks: BackgroundTasks) -> None:
        with block(job):
            tasks.add_task(cell.work, cell.jobs[job])

    @app.get("/task")
    async def in_a_task(job: int) -> None:
        with block(job):
            task = asyncio.create_task(cell.awork(cell.jobs[job]))
        await task

    @app.get("/stream")
    async def streamed(job: int) -> StreamingResponse:
        async def body() -> AsyncIterator[str]:
            async for chunk in cell.astream(cell.jobs[job]):
                yield str(chunk)

        with block(job):
            return StreamingResponse(body())

    @app.get("/stream-sync")
    async def streamed_sync(job: int) -> StreamingResponse:
        def body() -> Iterator[str]:
            for chunk in cell.stream(cell.jobs[job]):
                yield str(chunk)

        with block(job):
            return StreamingResponse(body())

    @app.get("/stream-holding")
    async def streamed_holding(job: int) -> StreamingResponse:
        def body() -> Iterator[str]:
            with lai.bind_session(cell.jobs[job].session_id):
                yield "begun"
                cell.work(cell.jobs[job])
                yield "done"

        return StreamingResponse(body())

    @app.websocket("/socket")
    async def socket(websocket: WebSocket, job: int) -> None:
        await websocket.accept()
        with block(job):
            await cell.awork(cell.jobs[job])
        await websocket.send_text("done")
        await websocket.close()

    return app


def requests_at_once(path: str, given: str = "our middleware", *, in_sequence: bool = False):
    """Return a mode: one request for each job, all at once, then one task without a session."""

    def mode(cell: Cell) -> None:
        async def main() -> None:
            transport = httpx.ASGITransport(build(cell, given))
            async with httpx.AsyncClient(transport=transport, base_url="http://test") as client:

                async def ask(number: int) -> None:
                    headers = {HEADER: cell.jobs[number].session_id}
                    answer = await client.get(path, params={"job": number}, headers=headers)
                    answer.raise_for_status()
                    if given == "our middleware":
                        assert cell.jobs[number].session_id == answer.headers[HEADER]

                if in_sequence:
                    for number in range(len(cell.jobs)):
                        await asyncio.create_task(ask(number))  # as a server does, which has a task for each
                else:
                    await asyncio.gather(*(ask(number) for number in range(len(cell.jobs))))
            await cell.aoutside()

        asyncio.run(main())

    return mode


def sockets(given: str = "our middleware"):
    """Return a mode: one websocket after the other."""

    def mode(cell: Cell) -> None:
        with TestClient(build(cell, given)) as client:
            for number, job in enumerate(cell.jobs):
                headers = {HEADER: job.session_id}
                with client.websocket_connect(f"/socket?job={number}", headers=headers) as websocket:
                    assert "done" == websocket.receive_text()

    return mode


PATHS = ("/async", "/sync", "/background", "/background-sync", "/task", "/stream", "/stream-sync")
AFTER = ("/background", "/background-sync", "/stream", "/stream-sync")
"""What is done when the endpoint has returned."""
FRAMEWORKS = (AgentWithTools(), PydanticAI(), OpenAIAgents(), ParallelGraph())


def judged(path: str, given: str, workload: Any, *, in_sequence: bool = False) -> dict[str, object]:
    """Play a cell, and return its faults but those that a plain span in a sync body always has."""
    if LANGCHAIN_LOSES_ASYNC and workload.name in ("create_agent", "graph"):
        pytest.skip("LangChain passes its run to no async code before Python 3.11")
    mode = sockets(given) if path == "/socket" else requests_at_once(path, given, in_sequence=in_sequence)
    faults = play(Mode(path, mode, host="fastapi"), workload, FROM_HEADER, sessions=4).faults
    if path == "/stream-sync" and workload.plain_stream:
        # Starlette steps a sync body in a thread at a time: a plain span does not stay current between them.
        faults = {
            name: value for name, value in faults.items() if name not in ("misplaced", "extra_traces", "logs")
        }
    return faults


@pytest.mark.parametrize("workload", [PlainSpans(), KitFramework()], ids=lambda item: item.name)
@pytest.mark.parametrize("path", [*PATHS, "/socket"])
@pytest.mark.parametrize("given", list(GIVEN))
def test_every_way_of_giving_a_request_its_session(given, path, workload):
    """Each span of a request is in its session, or, where FastAPI or the user has left that, in none."""
    lost = (
        given == "sync dependency"
        or (given == "block in the endpoint" and path in AFTER)
        or (given.startswith("http middleware") and path == "/socket")
    )
    late = given in (
        "async dependency",
        "block in the endpoint",
    )  # some of FastAPI's own spans are over by then

    faults = judged(path, given, workload)

    assert set() == set(faults) - ({"none"} if lost or late else set())
    if lost:
        assert "none" in faults


@pytest.mark.parametrize("workload", FRAMEWORKS, ids=lambda item: item.name)
@pytest.mark.parametrize("path", PATHS)
def test_the_header_names_the_session_of_everything_a_framework_does(workload, path):
    """Each span of a request is in the session of its header, whatever kind of endpoint serves it."""
    if path.startswith("/stream") and ("sync" if "sync" in path else "async") not in workload.streams:
        pytest.skip("it has no such stream")

    assert {} == judged(path, "our middleware", workload)


@pytest.mark.parametrize("given", [name for name in GIVEN if name != "sync dependency"])
def test_requests_in_sequence_leave_nothing_behind(given):
    """One request after the other, then work without a session."""
    assert {} == {
        name: value
        for name, value in judged("/async", given, KitFramework(), in_sequence=True).items()
        if name != "none"
    }


def test_a_body_that_holds_a_block_keeps_it_from_thread_to_thread():
    """A sync body that holds the session itself has it at every step, each in a thread with a context of its own."""
    cells: list[Cell] = []
    ask = requests_at_once("/stream-holding", "block in the endpoint")

    def mode(cell: Cell) -> None:
        cells.append(cell)
        ask(cell)

    verdict = play(Mode("holding", mode, host="fastapi"), PydanticAI(), FROM_HEADER, sessions=4)
    servers = [span for span in cells[0].captured.spans if span.instrumentation_scope.name == "fastapi"]

    assert set() == set(verdict.faults) - {"none"}
    assert verdict.none == sum(session_id_of(span) is None for span in servers)  # over before the block began
