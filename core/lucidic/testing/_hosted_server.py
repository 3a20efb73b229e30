"""A conforming fake of the hosted Lucidic API: in memory, without a framework, for tests."""

from __future__ import annotations

import json
import threading
import uuid
import zlib
from collections.abc import Callable, Generator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final

from lucidic.testing._hosted_server_contract import payload_violations, violations
from lucidic.testing._hosted_server_faults import Fault, Faults
from lucidic.testing._hosted_server_http import HostedAnswer, handle_asgi, loopback, transport_to


if TYPE_CHECKING:
    import httpx


BASE: Final = "/api"
_BLOBS: Final = "/blobs/"


@dataclass(frozen=True, slots=True)
class HostedRequest:
    """A request that the fake was sent, and the status of its answer (0 for a dropped connection)."""

    method: str
    path: str
    """Below the base path, for example ``initsession``; of an upload, the whole path."""
    query: Mapping[str, str]
    headers: Mapping[str, str]
    """With lower-case names."""
    body: Any
    """The decoded JSON; None if there is none."""
    status: int


@dataclass(slots=True)
class HostedSession:
    """A session as the fake has it."""

    session_id: str
    """The backend's id."""
    given_id: str
    """The id that the client asked for."""
    key: str
    fields: dict[str, Any] = field(default_factory=dict)
    """What was set last: ``session_name``, ``task``, ``is_successful``, …"""
    is_finished: bool = False
    ends: int = 0
    """How often it was ended."""
    late_events: int = 0
    """Events that came after an end."""
    evals: list[dict[str, Any]] = field(default_factory=list)


@dataclass(frozen=True, slots=True)
class _Call:
    method: str
    path: str
    query: Mapping[str, str]
    headers: Mapping[str, str]
    body: Any
    origin: str

    @property
    def key(self) -> str:
        scheme, _, key = self.headers.get("authorization", "").partition(" ")
        return key if scheme == "Api-Key" else ""


class FakeLucidic:
    """Answer as the hosted API does, and keep what was sent.

    It is an ASGI application for ``httpx.ASGITransport``; ``transport()`` is the same for a synchronous client, and
    ``serve()`` answers real clients over HTTP on loopback::

        fake = FakeLucidic()
        with fake.serve() as url:
            client = lucidicai.LucidicAI(api_key="k", agent_id="a", base_url=url)

    A body that breaks the protocol is answered with 400 and the list of what is wrong. An event is stored once for
    each ``client_event_id``. Ids are unknown (404) until ``initsession``, which also resumes a session; the session of
    another key is 403.

    Args:
        translate: Makes the backend's session id of the client's. Default: the same id.
    """

    def __init__(self, translate: Callable[[str], str] = str) -> None:
        self.requests: list[HostedRequest] = []
        self.sessions: dict[str, HostedSession] = {}
        """By the backend's id."""
        self.events: dict[str, dict[str, Any]] = {}
        """By ``client_event_id``, in the order in which they first came; an uploaded payload stands in its event."""
        self.repeats: dict[str, int] = {}
        """How often an event came again."""
        self.denied: dict[str, int] = {}
        """Keys and the status that they are answered with: 401, 402, 403."""
        self._translate = translate
        self._faults = Faults()
        self._lock = threading.Lock()

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        """Answer as an ASGI application."""
        await handle_asgi(self.respond, scope, receive, send)

    def transport(self) -> httpx.BaseTransport:
        """Return a transport for ``httpx.Client`` that ends here instead of in the network."""
        return transport_to(self)

    @contextmanager
    def serve(self) -> Generator[str, None, None]:
        """Answer on a free port of 127.0.0.1; gives the base address, ``…/api`` included."""
        with loopback(self.respond) as origin:
            try:
                yield origin + BASE
            finally:
                self.heal()

    def fail(
        self,
        path: str = "",
        status: int = 503,
        *,
        times: int | None = None,
        retry_after: str | None = None,
        text: str | None = None,
    ) -> None:
        """Answer requests under a path with a status, the next ``times`` of them or all until ``heal()``.

        Args:
            path: Beginning of the path below the base path; an upload's begins with ``/blobs/``.
            status: The status; nothing is stored.
            times: How many requests.
            retry_after: The ``Retry-After`` header.
            text: Answer with this as HTML, as a proxy does.
        """
        self._faults.add(Fault(path, status, times, retry_after=retry_after, text=text))

    def drop(self, path: str = "", *, times: int | None = None, stored: bool = False) -> None:
        """Drop the connection instead of an answer; with ``stored`` after the request did its work."""
        self._faults.add(Fault(path, 0, times, stored=stored))

    def hold(self, path: str = "") -> threading.Event:
        """Answer requests under a path only once the returned event is set."""
        gate = threading.Event()
        self._faults.add(Fault(path, None, None, gate=gate))
        return gate

    def heal(self) -> None:
        """Answer as usual again, also what is being held."""
        self._faults.clear()

    def story(self, session_id: str) -> list[dict[str, Any]]:
        """Return the stored events of a session, in the order in which they first came."""
        return [event for event in self.events.values() if event["session_id"] == session_id]

    def calls(self, *paths: str) -> list[tuple[str, str]]:
        """Return method and path of the requests so far, of all or of those paths."""
        return [
            (request.method, request.path)
            for request in tuple(self.requests)
            if not paths or request.path in paths
        ]

    def respond(
        self, method: str, target: str, query: Mapping[str, str], headers: Mapping[str, str], content: bytes
    ) -> HostedAnswer | None:
        """Answer a request; None drops the connection."""
        path = target.removeprefix(BASE + "/")
        call = _Call(method, path, query, headers, _decoded(headers, content), _origin(headers))
        fault = self._faults.next(path)
        if fault is not None and not fault.stored:
            answer = fault.answer()
        else:
            with self._lock:
                answer = self._answer(call)
            if fault is not None:
                answer = None
        self.requests.append(
            HostedRequest(method, path, query, headers, call.body, answer.status if answer else 0)
        )
        return answer

    def _answer(self, call: _Call) -> HostedAnswer:
        if call.path.startswith(_BLOBS):
            return self._take_blob(call)
        if not call.key:
            return _error(401, "Authentication credentials were not provided.")
        if call.key in self.denied:
            return _error(self.denied[call.key], "The key is not accepted.")
        if call.method in ("POST", "PUT", "PATCH"):
            if not isinstance(call.body, dict):
                return _error(400, "The body is not a JSON object.")
            if wrong := violations(call.path, call.body):
                return _error(400, "; ".join(wrong))
        route = self._route(call)
        return route(call) if route else _error(404, f"There is no {call.method} {call.path}.")

    def _route(self, call: _Call) -> Callable[[_Call], HostedAnswer] | None:
        routes: dict[tuple[str, str], Callable[[_Call], HostedAnswer]] = {
            ("POST", "initsession"): self._open_session,
            ("POST", "continuesession"): self._continue_session,
            ("PUT", "updatesession"): self._change_session,
            ("POST", "events"): self._store_event,
            ("POST", "sdk/evals"): self._store_eval,
            ("GET", "sessions"): self._list_sessions,
            ("GET", "events"): self._list_events,
            ("GET", "verifyapikey"): lambda _call: _json({"project": "fake", "project_id": "fake"}),
        }
        one = call.path.partition("/")[0]
        if (call.method, call.path) in routes:
            return routes[call.method, call.path]
        return {"sessions": self._show_session, "events": self._show_event}.get(one)

    def _session(self, given: str, key: str) -> HostedSession | HostedAnswer:
        session = self.sessions.get(given) or self.sessions.get(self._translate(given))
        if session is None:
            return _error(404, f"Session {given} does not exist.")
        return session if session.key == key else _error(403, "The session belongs to another key.")

    def _open_session(self, call: _Call) -> HostedAnswer:
        given = call.body["session_id"]
        session = self._session(given, call.key)
        if isinstance(session, HostedAnswer):
            if session.status != 404:
                return session
            session = HostedSession(self._translate(given), given, call.key)
            self.sessions[session.session_id] = session
        session.is_finished = False
        session.fields |= _without(call.body, "session_id", "current_time")
        return _json({"session_id": session.session_id, "session_name": session.fields["session_name"]})

    def _continue_session(self, call: _Call) -> HostedAnswer:
        session = self._session(call.body["session_id"], call.key)
        if isinstance(session, HostedAnswer):
            return session
        if session.is_finished:
            return _error(400, "The session is finished.")
        return _json({"session_id": session.session_id, "session_name": session.fields["session_name"]})

    def _change_session(self, call: _Call) -> HostedAnswer:
        session = self._session(call.body["session_id"], call.key)
        if isinstance(session, HostedAnswer):
            return session
        session.fields |= _without(call.body, "session_id", "current_time", "is_finished")
        if call.body.get("is_finished"):
            session.is_finished = True
            session.ends += 1
        return _json({"session_id": session.session_id})

    def _store_event(self, call: _Call) -> HostedAnswer:
        session = self._session(call.body["session_id"], call.key)
        if isinstance(session, HostedAnswer):
            return session
        known = call.body.get("client_event_id") or str(uuid.uuid4())
        if known in self.events:
            self.repeats[known] = self.repeats.get(known, 0) + 1
        else:
            session.late_events += session.is_finished
            self.events[known] = _without(call.body, "current_time") | {"session_id": session.session_id}
        answer = {"event_id": known}
        if call.body.get("needs_blob"):
            answer["blob_url"] = f"{call.origin}{_BLOBS}{known}"
        return _json(answer)

    def _take_blob(self, call: _Call) -> HostedAnswer:
        event = self.events.get(call.path.removeprefix(_BLOBS))
        if event is None:
            return _error(404, "There is no such upload.")
        if "authorization" in call.headers:
            return _error(400, "An upload carries no key.")
        if call.method != "PUT" or not isinstance(call.body, dict):
            return _error(400, "An upload is a PUT of gzipped JSON.")
        if wrong := payload_violations(event["type"], call.body):
            return _error(400, "; ".join(wrong))
        event["payload"] = call.body
        event["uploaded"] = True
        return HostedAnswer(200, b"", {})

    def _store_eval(self, call: _Call) -> HostedAnswer:
        session = self._session(call.body["session_id"], call.key)
        if isinstance(session, HostedAnswer):
            return session
        session.evals.append(_without(call.body, "current_time", "session_id"))
        return _json({"success": True})

    def _list_sessions(self, call: _Call) -> HostedAnswer:
        own = [_shown(session) for session in self.sessions.values() if session.key == call.key]
        return _json({"sessions": _page(own, call.query), "total": len(own)})

    def _list_events(self, call: _Call) -> HostedAnswer:
        wanted = {name: call.query[name] for name in ("session_id", "type") if name in call.query}
        own = [event for event in self.events.values() if wanted.items() <= event.items()]
        return _json({"events": _page(own, call.query), "total": len(own)})

    def _show_session(self, call: _Call) -> HostedAnswer:
        session = self._session(call.path.partition("/")[2], call.key)
        return session if isinstance(session, HostedAnswer) else _json(_shown(session))

    def _show_event(self, call: _Call) -> HostedAnswer:
        event = self.events.get(call.path.partition("/")[2])
        if event is None:
            return _error(404, "There is no such event.")
        if call.method == "PUT":
            event |= _without(call.body, "current_time")
        return _json(event)


def _shown(session: HostedSession) -> dict[str, Any]:
    return {"session_id": session.session_id, "is_finished": session.is_finished, **session.fields}


def _page(rows: list[Any], query: Mapping[str, str]) -> list[Any]:
    start = int(query.get("offset", 0))
    return rows[start : start + int(query.get("limit", 100))]


def _without(body: Mapping[str, Any], *names: str) -> dict[str, Any]:
    return {name: value for name, value in body.items() if name not in names}


def _decoded(headers: Mapping[str, str], content: bytes) -> Any:
    try:
        plain = zlib.decompress(content, wbits=31) if headers.get("content-encoding") == "gzip" else content
        return json.loads(plain) if plain else None
    except (ValueError, zlib.error):
        return None


def _origin(headers: Mapping[str, str]) -> str:
    return f"http://{headers.get('host', 'fake.lucidic.test')}"


def _json(content: Mapping[str, Any]) -> HostedAnswer:
    return HostedAnswer(200, json.dumps(content).encode(), {"content-type": "application/json"})


def _error(status: int, detail: str) -> HostedAnswer:
    body = json.dumps({"detail": detail}).encode()
    return HostedAnswer(status, body, {"content-type": "application/json"})
