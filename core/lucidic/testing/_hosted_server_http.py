"""The ways to reach the fake of the hosted API: ASGI, a synchronous transport, HTTP on loopback."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable, Generator, Mapping
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler
from typing import TYPE_CHECKING, Any, TypeAlias
from urllib.parse import parse_qsl, unquote, urlsplit

from lucidic.testing._scripted_http import LoopbackServer


if TYPE_CHECKING:
    import httpx


@dataclass(frozen=True, slots=True)
class HostedAnswer:
    """An answer of the fake."""

    status: int
    body: bytes
    headers: Mapping[str, str]


Respond: TypeAlias = "Callable[[str, str, Mapping[str, str], Mapping[str, str], bytes], HostedAnswer | None]"
"""Answers method, path, query, headers and body; None drops the connection."""


async def handle_asgi(respond: Respond, scope: Any, receive: Any, send: Any) -> None:
    """Answer one ASGI connection.

    Raises:
        ConnectionResetError: The connection is to be dropped, for which ASGI has no message.
    """
    if scope["type"] == "lifespan":
        while (await receive())["type"] != "lifespan.shutdown":
            await send({"type": "lifespan.startup.complete"})
        await send({"type": "lifespan.shutdown.complete"})
        return
    body = b""
    while True:
        message = await receive()
        body += message.get("body", b"")
        if not message.get("more_body"):
            break
    headers = {name.decode("latin-1").lower(): value.decode("latin-1") for name, value in scope["headers"]}
    query = dict(parse_qsl(scope["query_string"].decode()))
    answer = respond(scope["method"], scope["path"], query, headers, body)
    if answer is None:
        raise ConnectionResetError("The fake dropped the connection.")
    raw = [(name.encode(), value.encode()) for name, value in answer.headers.items()]
    await send({"type": "http.response.start", "status": answer.status, "headers": raw})
    await send({"type": "http.response.body", "body": answer.body})


def transport_to(app: Any) -> httpx.BaseTransport:
    """Return a synchronous transport to an ASGI application; each request runs in an event loop of its own."""
    import httpx

    class Transport(httpx.BaseTransport):
        def handle_request(self, request: httpx.Request) -> httpx.Response:
            request.read()
            return asyncio.run(self._handle(request))

        async def _handle(self, request: httpx.Request) -> httpx.Response:
            try:
                async with httpx.ASGITransport(app=app) as transport:
                    answer = await transport.handle_async_request(
                        httpx.Request(
                            request.method, request.url, headers=request.headers, content=request.content
                        )
                    )
                    content = await answer.aread()
            except ConnectionResetError as error:
                raise httpx.ReadError(str(error), request=request) from error
            return httpx.Response(
                answer.status_code, headers=answer.headers, content=content, request=request
            )

    return Transport()


@contextlib.contextmanager
def loopback(respond: Respond) -> Generator[str, None, None]:
    """Answer on a free port of 127.0.0.1; gives the address without a path."""

    class Connection(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"
        disable_nagle_algorithm = True

        def _handle(self) -> None:
            body = self.rfile.read(int(self.headers.get("content-length", 0)))
            parts = urlsplit(self.path)
            headers = {name.lower(): value for name, value in self.headers.items()}
            answer = respond(self.command, unquote(parts.path), dict(parse_qsl(parts.query)), headers, body)
            if answer is None:
                self.close_connection = True
                return
            self.send_response(answer.status)
            for name, value in {**answer.headers, "content-length": str(len(answer.body))}.items():
                self.send_header(name, value)
            self.end_headers()
            self.wfile.write(answer.body)

        do_GET = do_POST = do_PUT = do_PATCH = _handle  # noqa: N815 - the names that the base class calls

        def log_message(self, format: str, *args: Any) -> None:
            """Write nothing to stderr."""

    server = LoopbackServer(Connection, "lucidic-hosted-fake")
    server.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}"
    finally:
        server.stop()
