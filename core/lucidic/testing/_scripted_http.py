"""HTTP for the scripted server: threads, keep-alive connections, and the four routes."""

from __future__ import annotations

import contextlib
import json
import socket
import sys
import threading
from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, Final, NamedTuple

from lucidic.testing import (
    _scripted_chat,
    _scripted_embeddings,
    _scripted_errors,
    _scripted_messages,
    _scripted_responses,
)
from lucidic.testing._scripted_reply import Answer, Gate, Reply
from lucidic.testing._scripted_request import ScriptedRequest


_POLL_SECONDS: Final = 0.05
"""How long stop() may wait for a loop to see it; nothing else depends on it."""


class _Format(NamedTuple):
    body: Callable[[Answer], dict[str, Any]]
    stream: Callable[[Answer], Iterator[bytes]] | None
    error: Callable[[Answer], dict[str, Any]] = _scripted_errors.openai_body
    id_header: str = "x-request-id"


_FORMATS: Final = {
    "/v1/chat/completions": _Format(_scripted_chat.body, _scripted_chat.stream),
    "/v1/responses": _Format(_scripted_responses.body, _scripted_responses.stream),
    "/v1/embeddings": _Format(_scripted_embeddings.body, None),
    "/v1/messages": _Format(
        _scripted_messages.body, _scripted_messages.stream, _scripted_errors.anthropic_body, "request-id"
    ),
}


class LoopbackServer(ThreadingHTTPServer):
    """Threads that all end on stop: whoever waits for a client or a gate is woken.

    Args:
        connection: handles one client's connection; it finds this server as its ``server``.
        name: begins the names of the threads.
    """

    request_queue_size = 128
    daemon_threads = True

    def __init__(self, connection: type[BaseHTTPRequestHandler], name: str) -> None:
        self.stopping = threading.Event()
        self._name = name
        self._lock = threading.Lock()
        self._connections: dict[threading.Thread, socket.socket] = {}
        super().__init__(("127.0.0.1", 0), connection)
        self._loop = threading.Thread(
            target=self.serve_forever, args=(_POLL_SECONDS,), name=f"{name}-server", daemon=True
        )

    def start(self) -> None:
        self._loop.start()

    def stop(self) -> None:
        self.stopping.set()
        self.shutdown()
        self._loop.join()
        with self._lock:
            connections = dict(self._connections)
        for connection in connections.values():
            # The client may have closed it already.
            with contextlib.suppress(OSError):
                connection.shutdown(socket.SHUT_RDWR)
        for thread in connections:
            thread.join()
        self.server_close()

    def process_request(self, request: Any, client_address: Any) -> None:
        """Answer a connection in a thread that stop() knows of."""
        thread = threading.Thread(
            target=self._serve,
            args=(request, client_address),
            name=f"{self._name}-connection",
            daemon=True,
        )
        with self._lock:
            self._connections[thread] = request
        thread.start()

    def _serve(self, request: socket.socket, client_address: Any) -> None:
        try:
            self.process_request_thread(request, client_address)
        finally:
            with self._lock:
                self._connections.pop(threading.current_thread(), None)

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Say nothing of a client that left early, which is part of many a test."""
        if not isinstance(sys.exc_info()[1], OSError):
            super().handle_error(request, client_address)


class HTTPServer(LoopbackServer):
    """The scripted server's routes over HTTP."""

    def __init__(self, answer: Callable[[ScriptedRequest], Answer]) -> None:
        self.answer = answer
        super().__init__(_Connection, "lucidic-scripted")


class _Connection(BaseHTTPRequestHandler):
    """One client's connection, with as many requests as the client sends on it."""

    server: HTTPServer
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True

    def do_POST(self) -> None:  # the name that the base class calls
        payload = self.rfile.read(int(self.headers.get("content-length", 0)))
        headers = {name.lower(): value for name, value in self.headers.items()}
        route = self.path.partition("?")[0]
        form = _FORMATS.get(route)
        try:
            body = json.loads(payload)
        except ValueError:
            body = None
        if form is None or not isinstance(body, dict):
            request = ScriptedRequest(path=self.path, headers=headers, body={})
            reply = (
                Reply(status=404, error=f"The scripted server has no {route}.")
                if form is None
                else Reply(status=400, error="The body of the request is not a JSON object.")
            )
            self._send(form or _FORMATS["/v1/responses"], Answer(request=request, reply=reply, ident="none"))
            return
        answer = self.server.answer(ScriptedRequest(path=self.path, headers=headers, body=body))
        if self._opened(answer.reply.gate):
            self._send(form, answer)

    def do_GET(self) -> None:  # the name that the base class calls
        self.do_POST()

    def _opened(self, gate: Gate | None) -> bool:
        """Wait for a gate, and say whether to answer: not if the server stops first."""
        while gate is not None and not gate.wait(_POLL_SECONDS):
            if self.server.stopping.is_set():
                self.close_connection = True
                return False
        return True

    def _send(self, form: _Format, answer: Answer) -> None:
        if not answer.reply.is_error and answer.request.stream and form.stream is not None:
            self._send_stream(form, answer)
            return
        try:
            body = form.error(answer) if answer.reply.is_error else form.body(answer)
        except ValueError as error:
            # A reply that this format cannot say, such as broken tool arguments in Anthropic's.
            failed = Reply(status=400, error=f"The reply does not fit {answer.request.route}: {error}")
            answer = replace(answer, reply=failed)
            body = form.error(answer)
        data = json.dumps(body, ensure_ascii=False).encode()
        self._send_head(form, answer, {"content-type": "application/json", "content-length": str(len(data))})
        self.wfile.write(data)

    def _send_stream(self, form: _Format, answer: Answer) -> None:
        assert form.stream is not None  # noqa: S101  # the caller looked
        head = {"content-type": "text/event-stream; charset=utf-8", "transfer-encoding": "chunked"}
        self._send_head(form, answer, head)
        for number, event in enumerate(form.stream(answer)):
            if number == answer.reply.stream_abort_after:
                self.close_connection = True
                return
            self.wfile.write(b"%x\r\n%s\r\n" % (len(event), event))
        self.wfile.write(b"0\r\n\r\n")

    def _send_head(self, form: _Format, answer: Answer, own: Mapping[str, str]) -> None:
        headers = {**own, form.id_header: f"req_{answer.ident}", **_scripted_errors.headers(answer)}
        headers |= {name.lower(): value for name, value in answer.reply.headers.items()}
        self.send_response(answer.reply.status)
        for name, value in headers.items():
            self.send_header(name, value)
        self.end_headers()

    def log_message(self, format: str, *args: Any) -> None:
        """Write nothing to stderr."""
