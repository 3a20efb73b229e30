"""The ASGI middleware and the endpoint of live spans, through FastAPI and a real server."""

from __future__ import annotations

import asyncio
import contextlib
import json
import socket
import threading
import uuid

import httpx
import pytest
import uvicorn
from fastapi import BackgroundTasks, FastAPI, WebSocket
from opentelemetry import trace
from starlette.responses import StreamingResponse
from starlette.testclient import TestClient

import lucidic as lai
from lucidic import context
from lucidic.asgi import SessionMiddleware, session_events


GIVEN = "header-session-1"


def plain(name):
    with trace.get_tracer("user").start_as_current_span(name):
        pass


def make_app(**options):
    app = FastAPI()
    app.add_middleware(SessionMiddleware, **options)

    @app.get("/async")
    async def async_route():
        plain("async")
        return context.get()

    @app.get("/sync")
    def sync_route():
        plain("sync")
        return context.get()

    async def later():
        plain("async-task")

    def later_in_thread():
        plain("sync-task")

    @app.get("/background")
    async def background(tasks: BackgroundTasks):
        tasks.add_task(later)
        tasks.add_task(later_in_thread)
        return context.get()

    @app.get("/create-task")
    async def create_task():
        await asyncio.create_task(later())
        return context.get()

    @app.get("/stream")
    async def stream():
        async def body():
            for index in range(3):
                plain(f"chunk-{index}")
                yield context.get()
                await asyncio.sleep(0)

        return StreamingResponse(body())

    @app.get("/sync-stream")
    def sync_stream():
        def body():
            for index in range(3):
                plain(f"sync-chunk-{index}")
                yield context.get()

        return StreamingResponse(body())

    @app.websocket("/ws")
    async def websocket(connection: WebSocket):
        await connection.accept()
        plain("websocket")
        await connection.send_text(context.get())
        await connection.close()

    return app


@contextlib.contextmanager
def serving(app):
    """A real server on a free port of loopback."""
    server = uvicorn.Server(uvicorn.Config(app, log_config=None, lifespan="off", ws="none"))
    with socket.socket() as listening:
        listening.bind(("127.0.0.1", 0))
        listening.listen()
        thread = threading.Thread(target=lambda: server.run([listening]))
        thread.start()
        try:
            yield f"http://127.0.0.1:{listening.getsockname()[1]}"
        finally:
            server.should_exit = True
            thread.join()


@pytest.mark.parametrize(
    "path", ["/async", "/sync", "/background", "/create-task", "/stream", "/sync-stream"]
)
def test_everything_that_serves_a_request_belongs_to_its_session(captured, path):
    """Routes, threads, background tasks, tasks and streaming bodies see the header's id, and so do their spans."""
    with TestClient(make_app()) as client:
        response = client.get(path, headers={"X-Session-Id": GIVEN})

    assert GIVEN in response.text
    assert "unknown" not in response.text
    assert GIVEN == response.headers["x-session-id"]
    assert {GIVEN} == set(captured.session_ids().values())
    assert lai.current_session_id() is None


def test_websocket_belongs_to_its_session(captured):
    """A websocket connection has the header's session and echoes it in its acceptance."""
    with (
        TestClient(make_app()) as client,
        client.websocket_connect("/ws", headers={"X-Session-Id": "websocket-session"}) as connection,
    ):
        assert "websocket-session" == connection.receive_text()
        assert (b"x-session-id", b"websocket-session") in connection.extra_headers

    assert "websocket" in captured.session_ids()
    assert {"websocket-session"} == set(captured.session_ids().values())


@pytest.mark.parametrize("value", [b"", b"   ", b"unknown", b"x" * 600, b"bad\x7fid"])
def test_header_that_is_no_id_gets_a_new_one(captured, value):
    """An empty, endless, unprintable or undecodable value is replaced by a new id, and never an error."""
    with TestClient(make_app()) as client:
        response = client.get("/async", headers={"X-Session-Id": value})

    assert 200 == response.status_code
    assert uuid.UUID(response.json())
    assert response.json() == response.headers["x-session-id"]


def test_options_name_header_generator_validator_and_echo(captured):
    """Header name, generator, validator and echo are the application's choice."""

    def validator(value):
        if value == "raises":
            raise RuntimeError
        return value.startswith("user_")

    options = {"header": "X-Chat", "generator": lambda: "generated-123456", "validator": validator}
    with TestClient(make_app(**options)) as client:
        found = [
            client.get("/async", headers={"X-Chat": value}).json()
            for value in ("user_1_conv_2", "other", "raises")
        ]
    with TestClient(make_app(echo=False)) as client:
        assert "x-session-id" not in client.get("/async").headers

    assert ["user_1_conv_2", "generated-123456", "generated-123456"] == found


def test_hundred_requests_on_one_connection_never_leak(captured):
    """On a kept-alive connection of a real server every request has its own id, and new ones are distinct."""
    with serving(make_app()) as url, httpx.Client(base_url=url) as client:
        found = []
        for index in range(100):
            path = "/sync" if index % 3 == 0 else "/async"
            headers = {"X-Session-Id": f"request-session-{index}"} if index % 2 else {}
            found.append(client.get(path, headers=headers).json())

    given = [f"request-session-{index}" for index in range(100) if index % 2]

    assert given == found[1::2]
    assert 50 == len(set(found[0::2]))
    assert not set(found[0::2]) & set(given)


def test_fifty_concurrent_requests_keep_their_spans_apart(captured):
    """Concurrent requests of all kinds: each span has its own request's session."""
    app = make_app()
    seen = {}

    @app.get("/mixed/{index}")
    async def mixed(index: int):
        with trace.get_tracer("user").start_as_current_span(f"async-{index}"):
            await asyncio.sleep(0)
            await asyncio.to_thread(plain, f"thread-{index}")
            await asyncio.get_running_loop().run_in_executor(None, plain, f"executor-{index}")
        return context.get()

    async def main():
        lai.set_active_session("decoy-of-the-client")
        transport = httpx.ASGITransport(app)
        async with httpx.AsyncClient(transport=transport, base_url="http://test") as client:

            async def get(index):
                headers = {"X-Session-Id": f"request-session-{index}"}
                seen[index] = (await client.get(f"/mixed/{index}", headers=headers)).json()

            await asyncio.gather(*(get(index) for index in range(50)))

    asyncio.run(main())
    own = {
        name: sid for name, sid in captured.session_ids().items() if name.split("-")[0] in ("async", "thread")
    }

    assert {index: f"request-session-{index}" for index in range(50)} == seen
    assert 100 == len(own)
    assert all(f"request-session-{name.rsplit('-')[-1]}" == sid for name, sid in own.items())


def test_session_entered_in_an_async_dependency_survives_the_frameworks_own_spans(captured):
    """FastAPI's spans restore an older context when a dependency is done; the session is still bound in the route."""
    from fastapi import Depends

    app = FastAPI()

    async def in_session():
        async with lai.session(session_id="of-the-dependency"):
            yield

    @app.get("/", dependencies=[Depends(in_session)])
    async def route():
        plain("route")
        return context.get()

    with TestClient(app) as client:
        assert "of-the-dependency" == client.get("/").json()

    assert "of-the-dependency" == captured.session_ids()["route"]
    assert lai.current_session_id() is None


async def test_header_is_kept_exactly_or_refused_byte_by_byte(captured):
    """A unicode id comes back as the same bytes; bytes that are no text get a new id."""

    async def app(scope, receive, send):
        await send(
            {"type": "http.response.start", "status": 200, "headers": [(b"x-session-id", b"of the app")]}
        )
        await send({"type": "http.response.body", "body": context.get().encode()})

    async def ask(value):
        sent = []

        async def send(message):
            sent.append(message)

        await SessionMiddleware(app)({"type": "http", "headers": [(b"x-session-id", value)]}, None, send)
        ((_, echoed),) = sent[0]["headers"]
        assert echoed == sent[1]["body"]
        return echoed

    assert "gespräch-日本語-🙂".encode() == await ask("gespräch-日本語-🙂".encode())
    assert uuid.UUID((await ask(b"\xff\xfe")).decode())


async def test_session_events_stream_the_sessions_spans_until_the_client_goes():
    """The endpoint sends the finished spans of one session as server-sent events, and stops when the client goes."""
    sent, gone = [], asyncio.Event()
    got_two = asyncio.Event()

    async def receive():
        await gone.wait()
        return {"type": "http.disconnect"}

    async def send(message):
        sent.append(message)
        if sum(b"event: span" in item.get("body", b"") for item in sent) == 2:
            got_two.set()
        if message.get("body", b"").startswith(b": connected"):
            for session_id in ("watched-session-1", "other-session-123", "watched-session-1"):
                with lai.bind_session(session_id):
                    plain(f"of-{session_id}")

    scope = {"type": "http", "query_string": b"session_id=watched-session-1"}
    serving_task = asyncio.create_task(session_events(scope, receive, send))
    await asyncio.wait_for(got_two.wait(), 20)
    gone.set()
    await asyncio.wait_for(serving_task, 20)

    events = [item["body"].decode() for item in sent if b"event: span" in item.get("body", b"")]
    spans = [json.loads(event.split("data: ", 1)[1]) for event in events]

    assert ["of-watched-session-1"] * 2 == [span["name"] for span in spans]
    assert (200, b"text/event-stream; charset=utf-8") == (sent[0]["status"], sent[0]["headers"][0][1])


def test_session_events_needs_a_session():
    """Without a session id the endpoint answers 400; with a path parameter it needs no query."""
    from starlette.applications import Starlette
    from starlette.routing import Mount

    with TestClient(Starlette(routes=[Mount("/events", session_events)])) as client:
        assert 400 == client.get("/events/").status_code
