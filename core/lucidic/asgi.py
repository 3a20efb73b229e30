"""ASGI: a middleware that gives every request its session, and an endpoint that streams a session's spans.

Pure ASGI, for Starlette, FastAPI, Litestar, Quart and the like; needs no package besides lucidic.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, MutableMapping
from contextlib import suppress
from dataclasses import asdict
from typing import Any, Final
from urllib.parse import parse_qs

from lucidic._active import bind_session
from lucidic._ids import check_session_id, new_session_id
from lucidic._runtime import runtime
from lucidic.errors import InvalidSessionIDError


__all__ = ["SessionMiddleware", "session_events"]

_Scope = MutableMapping[str, Any]
_Message = MutableMapping[str, Any]
_Receive = Callable[[], Awaitable[_Message]]
_Send = Callable[[_Message], Awaitable[None]]
_App = Callable[[_Scope, _Receive, _Send], Awaitable[None]]

_LONGEST: Final = 512
_KEEP_ALIVE_S: Final = 15.0


class SessionMiddleware:
    """Bind the session that a request names in a header, for HTTP and websocket alike.

    Everything that serves the request belongs to the session: routes (sync ones in threads too), background
    tasks, streaming bodies, tasks started from there. A request without the header, or with a value that
    is no id, gets a new one. The session is attached, not ended: a conversation has more requests.

    Args:
        app: The ASGI application.
        header: Name of the header with the session's id.
        generator: Makes the id of a request that names none; default a random UUID.
        validator: Tells whether a value is an id of yours; one that raises refuses it. Values that are empty,
            longer than 512 characters or not printable are never accepted.
        echo: Send the id back in the same header.

    """

    def __init__(
        self,
        app: _App,
        *,
        header: str = "X-Session-Id",
        generator: Callable[[], str] = new_session_id,
        validator: Callable[[str], bool] | None = None,
        echo: bool = True,
    ) -> None:
        self.app = app
        self._header = header.lower().encode("latin-1")
        self._generator = generator
        self._validator = validator
        self._echo = echo

    async def __call__(self, scope: _Scope, receive: _Receive, send: _Send) -> None:
        """Serve one connection."""
        if scope["type"] not in ("http", "websocket"):
            await self.app(scope, receive, send)
            return
        session_id = self._given(scope.get("headers", ())) or self._generator()
        async with bind_session(session_id):
            await self.app(scope, receive, self._echoing(send, session_id) if self._echo else send)

    def _given(self, headers: Iterable[tuple[bytes, bytes]]) -> str | None:
        for name, value in headers:
            if name.lower() == self._header:
                with suppress(UnicodeDecodeError):
                    given = value.decode().strip()
                    return given if self._is_valid(given) else None
        return None

    def _is_valid(self, given: str) -> bool:
        if len(given) > _LONGEST or not given.isprintable():
            return False
        try:
            check_session_id(given)
            return self._validator is None or bool(self._validator(given))
        except InvalidSessionIDError:
            return False
        except Exception:  # noqa: BLE001  # a user's function about a value from outside: it refuses the value
            return False

    def _echoing(self, send: _Send, session_id: str) -> _Send:
        header = (self._header, session_id.encode())

        async def echoing(message: _Message) -> None:
            if message["type"] in ("http.response.start", "websocket.accept"):
                others = [item for item in message.get("headers", ()) if item[0].lower() != self._header]
                message = {**message, "headers": [*others, header]}
            await send(message)

        return echoing


class SessionEvents:
    """An ASGI application that streams a session's spans as server-sent events, as they finish.

    Mount it where only those may reach it who may read the session's content. The session is the path
    parameter ``session_id``, else the query parameter of that name. Each event is named ``span``, has the span's id
    as its id and the span as JSON; comments keep the connection alive.
    """

    async def __call__(self, scope: _Scope, receive: _Receive, send: _Send) -> None:
        """Serve one connection until the client or the server goes."""
        if scope["type"] != "http":
            return
        session_id = _asked_for(scope)
        if session_id is None:
            await _answer(send, 400, b"text/plain; charset=utf-8", b"The parameter session_id is missing.")
            return
        listener = runtime().exporter.listen(session_id)
        gone = asyncio.ensure_future(_until_gone(receive))
        gone.add_done_callback(lambda _: listener.close())
        try:
            await send(_start(200, b"text/event-stream; charset=utf-8", (b"cache-control", b"no-store")))
            async for event in _events(aiter(listener)):
                if gone.done():
                    break
                await send({"type": "http.response.body", "body": event, "more_body": True})
            if not gone.done():
                await send({"type": "http.response.body", "body": b""})
        finally:
            listener.close()
            gone.cancel()


session_events = SessionEvents()
"""``app.mount("/sessions/events", session_events)``, or a route with ``{session_id}``."""


async def _events(spans: AsyncIterator[Any]) -> AsyncIterator[bytes]:
    """Turn spans into events, with a comment now and then while none comes."""
    yield b": connected\n\n"
    step: asyncio.Future[Any] | None = None
    try:
        while True:
            step = step or asyncio.ensure_future(_next(spans))
            done, _ = await asyncio.wait({step}, timeout=_KEEP_ALIVE_S)
            if not done:
                yield b": still here\n\n"
                continue
            span = step.result()
            if span is None:
                return
            step = None
            text = json.dumps(asdict(span), ensure_ascii=False, default=str)
            yield f"event: span\nid: {span.span_id}\ndata: {text}\n\n".encode()
    finally:
        if step is not None:
            step.cancel()


async def _next(spans: AsyncIterator[Any]) -> Any:
    return await anext(spans, None)


async def _until_gone(receive: _Receive) -> None:
    while (await receive())["type"] != "http.disconnect":
        continue


def _asked_for(scope: _Scope) -> str | None:
    given = scope.get("path_params", {}).get("session_id")
    if not given:
        query = parse_qs(scope.get("query_string", b"").decode("latin-1"))
        given = next(iter(query.get("session_id", ())), None)
    return str(given) if given else None


def _start(status: int, content_type: bytes, *headers: tuple[bytes, bytes]) -> dict[str, Any]:
    return {
        "type": "http.response.start",
        "status": status,
        "headers": [(b"content-type", content_type), *headers],
    }


async def _answer(send: _Send, status: int, content_type: bytes, body: bytes) -> None:
    await send(_start(status, content_type))
    await send({"type": "http.response.body", "body": body})
