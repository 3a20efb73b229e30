"""An OTLP receiver on loopback whose faults are counted by request, not by time."""

from __future__ import annotations

import gzip
import socket
import struct
import threading
from collections.abc import Callable
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import (
    ExportTraceServiceRequest,
    ExportTraceServiceResponse,
)
from typing_extensions import Self


class Receiver:
    """Answer the nth request with the nth action of the plan, and everything after the plan with success.

    Attributes:
        accepted: Span ids in the order of their acceptance, repetitions included.
        spans: The accepted spans themselves, as protobuf.
        requests: Number of requests that arrived with their body.
        release: Lets requests go on that an action holds.
    """

    def __init__(self, *plan: Callable[[Handler], None], address: tuple[str, int] = ("127.0.0.1", 0)) -> None:
        self.accepted: list[str] = []
        self.names: list[str] = []
        self.spans: list[Any] = []
        self.requests = 0
        self.headers: list[dict[str, str]] = []
        self.arrived = threading.Semaphore(0)
        self.release = threading.Event()
        self.always: Callable[[Handler], None] = ok
        self.refuse_beyond = 0
        self._plan = list(plan)
        self._lock = threading.Lock()
        receiver = self

        class Bound(Handler):
            owner = receiver

        self._server = ThreadingHTTPServer(address, Bound)
        self._server.daemon_threads = True
        self.port = self._server.server_address[1]
        self.url = f"http://127.0.0.1:{self.port}"
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.01,), daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_exc: object) -> None:
        self.release.set()
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()

    def next_action(self) -> Callable[[Handler], None]:
        with self._lock:
            self.requests += 1
            return self._plan.pop(0) if self._plan else self.always

    def accept(self, body: bytes, count: int | None = None) -> int:
        spans = spans_of(body)
        taken = spans if count is None else spans[:count]
        with self._lock:
            self.accepted += [span.span_id.hex() for span in taken]
            self.names += [span.name for span in taken]
            self.spans += taken
        return len(spans) - len(taken)

    @property
    def distinct(self) -> int:
        return len(set(self.accepted))


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    owner: Receiver
    body: bytes

    def do_POST(self) -> None:
        if self.owner.refuse_beyond and int(self.headers["content-length"]) > self.owner.refuse_beyond:
            # As proxies do: the answer comes before the body is read, and the connection ends.
            self.owner.requests += 1
            self.answer(413, b"too large", "text/plain", connection="close")
            self.close_connection = True
            return
        self.body = self.rfile.read(int(self.headers["content-length"]))
        if self.headers.get("content-encoding") == "gzip":
            self.body = gzip.decompress(self.body)
        self.owner.headers.append({key.lower(): value for key, value in self.headers.items()})
        action = self.owner.next_action()
        self.owner.arrived.release()
        action(self)

    def answer(
        self, status: int, body: bytes = b"", kind: str | None = "application/x-protobuf", **headers: str
    ):
        try:
            self.send_response(status)
            if kind:
                self.send_header("content-type", kind)
            for key, value in headers.items():
                self.send_header(key.replace("_", "-"), value)
            self.send_header("content-length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)
        except OSError:
            self.close_connection = True

    def reset(self) -> None:
        self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.connection.close()
        self.close_connection = True
        self.wfile = open("/dev/null", "wb")  # noqa: PTH123 - what the base class flushes at the end

    def finish(self) -> None:
        try:
            super().finish()
        except (OSError, ValueError):
            self.close_connection = True

    def handle_one_request(self) -> None:
        try:
            super().handle_one_request()
        except (OSError, ValueError):
            self.close_connection = True

    def log_message(self, *_arguments: object) -> None:
        return


def spans_of(body: bytes) -> list:
    request = ExportTraceServiceRequest.FromString(body)
    return [span for part in request.resource_spans for scope in part.scope_spans for span in scope.spans]


def ok(handler: Handler) -> None:
    handler.owner.accept(handler.body)
    handler.answer(200)


def status(code: int, *, commit: bool = False, body: bytes = b"", kind: str = "text/plain", **headers: str):
    def action(handler: Handler) -> None:
        if commit:
            handler.owner.accept(handler.body)
        handler.answer(code, body, kind, **headers)

    return action


def ok_json(handler: Handler) -> None:
    handler.owner.accept(handler.body)
    handler.answer(200, b"{}", "application/json")


def partial(rejected: int):
    def action(handler: Handler) -> None:
        spans = len(spans_of(handler.body))
        left = handler.owner.accept(handler.body, spans - min(rejected, spans))
        response = ExportTraceServiceResponse()
        response.partial_success.rejected_spans = left
        response.partial_success.error_message = "too many"
        handler.answer(200, response.SerializeToString())

    return action


def reset_before(handler: Handler) -> None:
    handler.reset()


def reset_after(handler: Handler) -> None:
    handler.owner.accept(handler.body)
    handler.reset()


def truncated(handler: Handler) -> None:
    handler.send_response(200)
    handler.send_header("content-type", "application/x-protobuf")
    handler.send_header("content-length", "100")
    handler.end_headers()
    handler.wfile.write(b"\x0a")
    handler.wfile.flush()
    handler.reset()


def hang(handler: Handler) -> None:
    handler.owner.release.wait(60)
    handler.reset()


def larger_than(limit: int):
    def action(handler: Handler) -> None:
        if len(handler.body) > limit:
            handler.answer(413, b"too large", "text/plain")
        else:
            ok(handler)

    return action


def refusing(*names: str, code: int = 400):
    def action(handler: Handler) -> None:
        if any(span.name in names for span in spans_of(handler.body)):
            handler.answer(code, b"poison", "text/plain")
        else:
            ok(handler)

    return action
