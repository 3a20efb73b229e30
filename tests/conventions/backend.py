"""A backend on loopback: OTLP as Phoenix and MLflow take it, and the parts of their REST that scores need."""

from __future__ import annotations

import gzip
import json
import re
import threading
from collections.abc import Callable
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qs, urlsplit

from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from typing_extensions import Self


class Backend:
    """Keeps spans by name, and answers REST by what ``rest`` returns.

    Attributes:
        spans: The attributes of each span, by its name; the last one of a name.
        calls: Method, path, query and body of every REST request.
        headers: Names and values that every answer has.
    """

    def __init__(self) -> None:
        self.spans: dict[str, dict[str, Any]] = {}
        self.otlp: list[Any] = []
        self.posts = 0
        self.calls: list[tuple[str, str, dict[str, str], Any]] = []
        self.headers: dict[str, str] = {}
        self.rest: Callable[[str, str, dict[str, str], Any], tuple[int, Any]] = lambda *_: (404, {})
        self.path = "/v1/traces"
        owner = self

        class Bound(_Handler):
            backend = owner

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Bound)
        self._server.daemon_threads = True
        self.url = f"http://127.0.0.1:{self._server.server_address[1]}"
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.01,), daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_exc: object) -> None:
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()

    def take(self, body: bytes) -> None:
        """Keep the spans of an OTLP request."""
        self.posts += 1
        for part in ExportTraceServiceRequest.FromString(body).resource_spans:
            for scope in part.scope_spans:
                for span in scope.spans:
                    self.otlp.append(span)
                    self.spans[span.name] = {pair.key: _value(pair.value) for pair in span.attributes}


def _value(value: Any) -> Any:
    kind = value.WhichOneof("value")
    if kind == "array_value":
        return [_value(item) for item in value.array_value.values]
    return getattr(value, kind)


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    backend: Backend

    def _handle(self) -> None:
        body = self.rfile.read(int(self.headers.get("content-length") or 0))
        if self.headers.get("content-encoding") == "gzip":
            body = gzip.decompress(body)
        parts = urlsplit(self.path)
        if parts.path.endswith(self.backend.path):
            self.backend.take(body)
            self._answer(200, b"", "application/x-protobuf")
            return
        query = {key: values[0] for key, values in parse_qs(parts.query).items()}
        content = json.loads(body) if body else None
        self.backend.calls.append((self.command, parts.path, query, content))
        status, answer = self.backend.rest(self.command, parts.path, query, content)
        if status == 0:
            self.close_connection = True
            return
        self._answer(status, json.dumps(answer).encode(), "application/json")

    do_POST = do_GET = do_PATCH = do_PUT = _handle

    def _answer(self, status: int, body: bytes, kind: str) -> None:
        self.send_response(status)
        for key, value in {"content-type": kind, **self.backend.headers}.items():
            self.send_header(key, value)
        self.send_header("content-length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_arguments: object) -> None:
        return


class PhoenixREST:
    """What Phoenix keeps of annotations: one for each target, name and identifier."""

    def __init__(self, backend: Backend, *, known: set[str] | None = None) -> None:
        self.kept: dict[tuple[str, str, str], dict[str, Any]] = {}
        self.known = known
        """Sessions and spans that it has; None: all."""
        self.down = 0
        """So many requests are answered with 503."""
        backend.headers["x-phoenix-server-version"] = "20.26.1"
        backend.rest = self.answer

    def answer(self, method: str, path: str, query: dict[str, str], body: Any) -> tuple[int, Any]:
        if self.down:
            self.down -= 1
            return 503, {"detail": "busy"}
        target = {"/v1/session_annotations": "session_id", "/v1/span_annotations": "span_id"}.get(path)
        if method != "POST" or target is None or query != {"sync": "true"}:
            return 405, {}
        for each in body["data"]:
            if each["name"] == "note" or each["annotator_kind"] not in ("HUMAN", "LLM", "CODE"):
                return 400, {"detail": "no"}
            if self.known is not None and each[target] not in self.known:
                return 404, {"detail": f"{each[target]} does not exist"}
        for each in body["data"]:
            self.kept[each[target], each["name"], each["identifier"]] = each
        return 200, {"data": [{"id": "x"} for _ in body["data"]]}


class MLflowREST:
    """What MLflow keeps of assessments: a list for each trace, in which nothing replaces anything by itself."""

    def __init__(self, backend: Backend, sessions: dict[str, list[str]]) -> None:
        self.sessions = sessions
        """The traces of each session, in their order."""
        self.kept: dict[str, list[dict[str, Any]]] = {
            trace: [] for traces in sessions.values() for trace in traces
        }
        self.drop_answers = 0
        """So many assessments are kept without an answer."""
        backend.rest = self.answer

    def answer(self, method: str, path: str, query: dict[str, str], body: Any) -> tuple[int, Any]:
        if path == "/api/3.0/mlflow/traces/search":
            (wanted,) = re.findall(r"= '(.*)'$", body["filter"])
            assert body["locations"][0]["mlflow_experiment"] == {"experiment_id": "7"}
            found = self.sessions.get(wanted, [])
            return 200, {"traces": [{"trace_id": trace} for trace in found[: body["max_results"]]]}
        found = re.fullmatch(r"/api/3\.0/mlflow/traces/([^/]+)(/assessments(?:/(\w+))?)?", path)
        if found is None or found[1] not in self.kept:
            return 404, {"error_code": "RESOURCE_DOES_NOT_EXIST"}
        kept = self.kept[found[1]]
        if method == "GET":
            return 200, {"trace": {"trace_info": {"assessments": kept}}}
        if method == "PATCH":
            (each,) = [each for each in kept if each["assessment_id"] == found[3]]
            each |= body["assessment"]
            return 200, {"assessment": each}
        kept.append({**body["assessment"], "assessment_id": f"a{len(kept)}"})
        if self.drop_answers:
            self.drop_answers -= 1
            return 0, None
        return 200, {"assessment": kept[-1]}
