"""The hosted API as a sink: sessions and events, one request each, in an order in which no end comes too early."""

from __future__ import annotations

import functools
import gzip
import logging
import time
from collections.abc import Collection, Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from lucidic._export._decode import decode_resource, decode_span
from lucidic._export._hosted_config import FOLDER, HostedConfig, hosted_config
from lucidic._export._hosted_crew import Crew, Job
from lucidic._export._hosted_events import Event, evaluation, events_of, preview
from lucidic._export._hosted_http import (
    DENIED,
    HostedClient,
    RefusedError,
    Reply,
    StoppedError,
    UnreachableError,
    compact,
)
from lucidic._export._hosted_registry import forget_key
from lucidic._export._hosted_sessions import HostedSessions, Send
from lucidic._export._hosted_state import SessionStates
from lucidic._export._ledger import NO_SESSION
from lucidic._export._payload import SpanEntry
from lucidic._export._sink import Batch, Outcome
from lucidic._records import Score, SessionRecord, StoredSpan
from lucidic._score_span import SCOPE, score_of


if TYPE_CHECKING:
    import httpx

    from lucidic._config import Settings


logger = logging.getLogger("lucidic.export")


class HostedSink:
    """Deliver sessions and spans to the hosted API. Creating it connects to nothing.

    - A session is created before its first event and ended after its last one; a span that ends later than its
      session is sent, and then the end again.
    - Ids of events are made of trace and span ids, so what is sent twice is stored once.
    - 408, 425, 429, 5xx and broken connections are tried again later; 400, 409, 413 and 422 refuse the one span;
      everything else (401, 402 and 403 too) is for somebody to mend: the sink pauses, and nothing is lost.
    - Events between two changes of sessions may come in any order: many of them are sent by a few threads at a time.
    - A score of a session is one of its evaluations, too.
    - Spans without a session are not sent, and counted as dropped for ``no_session``.

    Args:
        config: The backend and the credentials.
        folder: Where the ids that the backend gave to sessions are kept.
        transport: Takes the requests instead of the network (for tests).
    """

    def __init__(
        self, config: HostedConfig, folder: Path, *, transport: httpx.BaseTransport | None = None
    ) -> None:
        # Here, in the caller's thread: while another thread imports httpx, openai (3.54) finds half of it in
        # sys.modules and fails in the user's code.
        import httpx  # noqa: F401

        self.config = config
        self.name = config.name
        self._folder = folder
        self._client = HostedClient(config, transport=transport)
        self._crew = Crew(lambda: HostedClient(self.config, transport=transport))
        self._states = SessionStates(folder / f"{config.name}.db")
        self._accepted = False

    def renew(self, other: HostedSink) -> None:
        """Go on with another key for the same backend and agent; may be called from another thread."""
        self.config = self._client.config = other.config

    def close(self) -> None:
        """Close the connections."""
        self._crew.close()
        self._client.close()

    def deliver(self, batch: Batch, timeout: float) -> Outcome:
        """Deliver a batch; see Sink. What is not through in time is left for the next one."""
        until = time.monotonic() + timeout
        outcome = Outcome()
        fates: dict[int, str | None] = {}
        with self._states.opened():
            sessions = HostedSessions(self._states, self._request, self.config.agent_id, until)
            last = last_spans(batch.items)
            ahead: set[int] = set()
            try:
                for run in runs(batch.items):
                    if fates and time.monotonic() >= until:
                        break
                    # Here it is known which sessions the backend has, and what is wrong with what did not get through.
                    ahead |= self._crew.do(self._jobs(batch, run, sessions, until), until)
                    for place in run:
                        if place not in ahead and fates and time.monotonic() >= until:
                            break
                        fates[place] = self._take(batch, place, sessions, until, last, ahead)
            except StoppedError as stopped:
                outcome.answer, outcome.note = stopped.answer, stopped.note
                outcome.retry_after = stopped.retry_after
        _settle(outcome, batch.items, fates)
        if outcome.refused and not self._accepted:
            # A backend that has refused everything since the start is the wrong one, and the spans are fine. Real
            # poison is told from that as soon as another span is taken.
            return Outcome(answer="paused", note=outcome.refused[0][1])
        return outcome

    def _take(
        self,
        batch: Batch,
        place: int,
        sessions: HostedSessions,
        until: float,
        last: Mapping[str, int],
        ahead: Collection[int],
    ) -> str | None:
        """Send one item; return why it was not taken by the backend, or None."""
        item = batch.items[place]
        try:
            if isinstance(item, SessionRecord):
                sessions.apply(item)
            elif item.session_id is None:
                return NO_SESSION
            else:
                if place not in ahead:
                    send = sessions.sender(item.session_id)
                    self._send_span(_decoded(batch, item), send, self._client, until)
                if last[item.session_id] == place:
                    sessions.end_again(item.session_id)
        except RefusedError as error:
            if isinstance(item, SessionRecord):
                logger.warning(
                    "%s refused the %s of session %r: %s", self.name, item.event, item.session_id, error
                )
            return str(error)
        return None

    def _jobs(
        self, batch: Batch, places: Sequence[int], sessions: HostedSessions, until: float
    ) -> dict[int, Job]:
        """Return what of a run may be sent in any order: events of sessions that the backend has."""
        jobs: dict[int, Job] = {}
        for place in places:
            item = batch.items[place]
            if not isinstance(item, SpanEntry) or item.session_id is None:
                continue
            backend_id = sessions.backend_id(item.session_id)
            # A backend knows a repeated event by its id, but not a repeated evaluation.
            if backend_id is not None and _score(span := _decoded(batch, item)) is None:
                jobs[place] = functools.partial(self._send_ahead, span, backend_id, until)
        return jobs

    def _send_ahead(self, span: StoredSpan, backend_id: str, until: float, client: HostedClient) -> None:
        if time.monotonic() >= until:
            raise StoppedError("retry", "The time is over.")
        client.config = self.config

        def send(path: str, fields: Mapping[str, Any]) -> Reply:
            reply = client.call("POST", path, until, **fields, session_id=backend_id)
            if reply.meaning != "ok":
                raise StoppedError("retry", reply.note)
            return reply

        self._send_span(span, send, client, until)

    def _send_span(self, span: StoredSpan, send: Send, client: HostedClient, until: float) -> None:
        for event in events_of(span):
            content = compact(event["payload"])
            large = len(content) > self.config.blob_threshold
            reply = send(
                "events", {**event, "needs_blob": True, "payload": preview(event)} if large else event
            )
            self._accepted = True
            if large:
                _upload(client, event, content, reply, until)
        if (score := _score(span)) is not None:
            send("sdk/evals", evaluation(score))

    def _request(self, method: str, path: str, until: float, fields: Mapping[str, Any]) -> Reply:
        """Send a request; return the reply if it is ``ok`` or ``unknown``."""
        try:
            reply = self._client.call(method, path, until, **fields)
        except UnreachableError as error:
            raise StoppedError("retry", str(error)) from error
        if reply.meaning == "again":
            raise StoppedError("retry", reply.note, reply.retry_after)
        if reply.meaning == "refused":
            raise RefusedError(reply.note)
        if reply.meaning == "misconfigured":
            if reply.status in DENIED:
                forget_key(self.config, self._folder)
            raise StoppedError("paused", reply.note)
        return reply


def _upload(client: HostedClient, event: Event, content: bytes, reply: Reply, until: float) -> None:
    address = (reply.content or {}).get("blob_url")
    if not isinstance(address, str):
        raise RefusedError(f"The backend gave no address for the payload of {event['client_event_id']}.")
    try:
        answer = client.upload(address, gzip.compress(content, mtime=0), until)
    except UnreachableError as error:
        raise StoppedError("retry", str(error)) from error
    if answer.meaning == "again":
        raise StoppedError("retry", f"The upload of a payload: {answer.note}", answer.retry_after)
    # Storage services answer an upload with XML or nothing at all: the status alone counts.
    if not 200 <= answer.status < 300:
        raise RefusedError(f"The upload of a payload was refused: {answer.note}")


def _decoded(batch: Batch, entry: SpanEntry) -> StoredSpan:
    origin = batch.origin(entry)
    return decode_span(
        entry.data,
        session_id=entry.session_id,
        scope=origin.scope,
        resource=decode_resource(origin.resource),
    )


def _score(span: StoredSpan) -> Score | None:
    """Return the score of a whole session that a span carries."""
    if span.scope_name != SCOPE:
        return None
    score = score_of(span.attributes, span.start_ns)
    return score if score is not None and score.span_id is None else None


def hosted_sink(settings: Settings) -> HostedSink | None:
    """Make the sink that the settings ask for; None without a key.

    Raises:
        APIKeyVerificationError: There is a key and no agent id.
        ConfigurationError: A variable of the hosted API holds what cannot be used.
    """
    if not settings.api_key:
        return None
    return HostedSink(hosted_config(*settings.require_credentials()), settings.home / FOLDER)


def last_spans(items: Sequence[SpanEntry | SessionRecord]) -> dict[str, int]:
    """Return where the last span of each session is."""
    return {
        item.session_id: place
        for place, item in enumerate(items)
        if isinstance(item, SpanEntry) and item.session_id is not None
    }


def runs(items: Sequence[SpanEntry | SessionRecord]) -> Iterator[list[int]]:
    """Yield the places of the items in the order to send, spans that follow each other together."""
    run: list[int] = []
    for place in delivery_order(items):
        if isinstance(items[place], SpanEntry):
            run.append(place)
            continue
        if run:
            yield run
        yield [place]
        run = []
    if run:
        yield run


def delivery_order(items: Sequence[SpanEntry | SessionRecord]) -> list[int]:
    """Return the places of the items in the order to send: an end behind the spans that follow it.

    Unless the session was opened again in between: then the end belongs where it is.
    """
    keys: list[tuple[int, int]] = []
    following: dict[str, int] = {}
    for place in range(len(items) - 1, -1, -1):
        item = items[place]
        key = (place, 0)
        if isinstance(item, SpanEntry):
            if item.session_id is not None:
                following.setdefault(item.session_id, place)
        elif item.event == "end":
            key = (following.get(item.session_id, place), 1)
        elif item.event == "start":
            following.pop(item.session_id, None)
        keys.append(key)
    keys.reverse()
    return sorted(range(len(items)), key=keys.__getitem__)


def _settle(
    outcome: Outcome, items: Sequence[SpanEntry | SessionRecord], fates: Mapping[int, str | None]
) -> None:
    """Account for the items up to the first one that is still to be sent; ids make the others safe to repeat."""
    for place, item in enumerate(items):
        if place not in fates:
            return
        outcome.taken += 1
        if not isinstance(item, SpanEntry):
            continue
        fate = fates[place]
        if fate is None:
            outcome.delivered += 1
        elif item.session_id is None:
            outcome.dropped.append((item, fate))
        else:
            outcome.rejected += 1
            outcome.refused.append((item, fate))
