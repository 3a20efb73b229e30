"""Sessions at the hosted API: created, resumed, changed and ended, each under the id that the backend gave it."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, Final, Protocol

from lucidic._export._hosted_http import RefusedError, Reply, StoppedError
from lucidic._export._hosted_state import RemoteSession, SessionStates
from lucidic._records import SessionRecord


UNNAMED: Final = "Unnamed Session"
_CREATED: Final[Mapping[str, str]] = {
    "name": "session_name",
    "task": "task",
    "tags": "tags",
    "experiment_id": "experiment_id",
    "dataset_item_id": "datasetitem_id",
    "rubrics": "evaluators",
    "production_monitoring": "production_monitoring",
}
"""Our names, and those of the 3.x body."""
_CHANGED: Final = (
    "task",
    "tags",
    "is_successful",
    "is_successful_reason",
    "session_eval",
    "session_eval_reason",
)


class Request(Protocol):
    """Sends a request; gives the reply back if it is ``ok`` or ``unknown``, and raises for all others."""

    def __call__(self, method: str, path: str, until: float, fields: Mapping[str, Any], /) -> Reply: ...


Send = Callable[[str, Mapping[str, Any]], Reply]
"""Posts fields to a path for one session; raises if they do not get through."""


class HostedSessions:
    """The sessions of one batch.

    Args:
        states: What is known of them.
        request: Sends a request.
        agent_id: The agent that new sessions belong to.
        until: The monotonic time by which requests have to be answered.
    """

    def __init__(self, states: SessionStates, request: Request, agent_id: str, until: float) -> None:
        self._states = states
        self._request = request
        self._agent_id = agent_id
        self._until = until
        self._refused: dict[str, str] = {}

    def apply(self, record: SessionRecord) -> None:
        """Tell the backend of a change of a session; a repetition of an old one tells it nothing.

        Raises:
            RefusedError: The backend refuses it for good.
            StoppedError: It has to wait.
        """
        known = self._states.get(record.session_id)
        fields = {name: value for name, value in record.fields.items() if value is not None}
        if record.event == "start":
            self._start(record, known, fields)
        elif record.event == "end":
            if known is None or known.ended_ns is None or known.ended_ns < record.time_ns:
                self._end(record.session_id, _only(fields, _CHANGED), record.time_ns)
        else:
            self._change(record, known, fields)

    def _change(self, record: SessionRecord, known: RemoteSession | None, fields: Mapping[str, Any]) -> None:
        # A name is only taken where a session is begun or resumed, and resuming a finished one would open it.
        if fields.get("name") and (known is None or known.ended_ns is None):
            started = record.time_ns if known is None else known.started_ns
            self._create(record.session_id, {"session_name": fields["name"]}, started)
        if changed := _only(fields, _CHANGED):
            self.send(record.session_id, "PUT", "updatesession", changed)

    def send(self, session_id: str, method: str, path: str, fields: Mapping[str, Any]) -> Reply:
        """Send a request for a session, which is created first if the backend does not know it.

        Raises:
            RefusedError: The backend refuses it for good.
            StoppedError: It has to wait.
        """
        known = self._states.get(session_id)
        if known is not None:
            reply = self._request(method, path, self._until, {**fields, "session_id": known.backend_id})
            if reply.meaning != "unknown":
                return reply
            self._states.forget(session_id)
        known = self._create(session_id, {}, time_ns=0)
        reply = self._request(method, path, self._until, {**fields, "session_id": known.backend_id})
        if reply.meaning == "unknown":
            raise StoppedError("paused", f"{method} {path}: {reply.note}")
        return reply

    def sender(self, session_id: str) -> Send:
        """Return ``send`` for what is posted for a session."""
        return lambda path, fields: self.send(session_id, "POST", path, fields)

    def backend_id(self, session_id: str) -> str | None:
        """Return the id of a session at the backend; None if it does not have it from us."""
        known = self._states.get(session_id)
        return None if known is None else known.backend_id

    def end_again(self, session_id: str) -> None:
        """End a session once more if it had ended before the event that was sent now.

        Raises:
            RefusedError: The backend refuses it for good.
            StoppedError: It has to wait.
        """
        known = self._states.get(session_id)
        if known is not None and known.ended_ns is not None:
            self._end(session_id, known.end_fields, known.ended_ns)

    def _start(self, record: SessionRecord, known: RemoteSession | None, fields: Mapping[str, Any]) -> None:
        news = {theirs: fields[ours] for ours, theirs in _CREATED.items() if fields.get(ours)}
        if known is not None:
            if record.time_ns <= max(known.started_ns, known.ended_ns or 0):
                return
            if known.ended_ns is None and not news:
                known.started_ns = record.time_ns
                self._states.put(known)
                return
        self._create(record.session_id, news, record.time_ns)

    def _create(self, session_id: str, news: Mapping[str, Any], time_ns: int) -> RemoteSession:
        if session_id in self._refused:
            raise RefusedError(self._refused[session_id])
        body = {
            "session_id": session_id,
            "session_name": UNNAMED,
            "agent_id": self._agent_id,
            **news,
        }
        try:
            reply = self._request("POST", "initsession", self._until, body)
        except RefusedError as error:
            self._refused[session_id] = f"The session was refused: {error}"
            raise RefusedError(self._refused[session_id]) from error
        if reply.meaning == "unknown":
            raise StoppedError("paused", f"POST initsession: {reply.note}")
        given = (reply.content or {}).get("session_id")
        session = RemoteSession(
            session_id, given if isinstance(given, str) and given else session_id, started_ns=time_ns
        )
        self._states.put(session)
        return session

    def _end(self, session_id: str, fields: Mapping[str, Any], time_ns: int) -> None:
        self.send(session_id, "PUT", "updatesession", {"is_finished": True, **fields})
        session = self._states.get(session_id)
        if session is not None:
            session.ended_ns, session.end_fields = time_ns, fields
            self._states.put(session)


def _only(fields: Mapping[str, Any], names: tuple[str, ...]) -> dict[str, Any]:
    return {name: fields[name] for name in names if name in fields}
