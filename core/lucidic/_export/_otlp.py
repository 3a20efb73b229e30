"""The OTLP/HTTP sink: protobuf over HTTP, with the delivery rules of the OTLP specification.

https://opentelemetry.io/docs/specs/otlp/#otlphttp ; where it leaves a choice, nothing is given up.
"""

from __future__ import annotations

import gzip
import http
import logging
import time
from collections.abc import Callable, Collection
from dataclasses import dataclass
from email.utils import parsedate_to_datetime
from typing import Final
from urllib.parse import urljoin, urlsplit

from lucidic._export._conventions import Dialect
from lucidic._export._hosted_http import RefusedError, StoppedError
from lucidic._export._http import HTTPClient, HTTPError, tls_context
from lucidic._export._local_roots import as_local_root
from lucidic._export._otlp_answer import Answered, read_answer
from lucidic._export._otlp_config import OTLPConfig
from lucidic._export._payload import SpanEntry, shorten_entry
from lucidic._export._scores import ScoreWriter
from lucidic._export._sink import Answer, Batch, Outcome, span_count


logger = logging.getLogger("lucidic.export")

BODY_LIMIT: Final = 64 * 1024
REST_LIMIT: Final = 16 * 1024 * 1024
_REDIRECTS: Final = 3
_SAME_METHOD: Final = frozenset({http.HTTPStatus.TEMPORARY_REDIRECT, http.HTTPStatus.PERMANENT_REDIRECT})
_TOO_LARGE: Final = frozenset({http.HTTPStatus.REQUEST_ENTITY_TOO_LARGE})
_POISON: Final = frozenset({http.HTTPStatus.BAD_REQUEST, http.HTTPStatus.UNPROCESSABLE_ENTITY})
_AGAIN: Final = frozenset(
    {http.HTTPStatus.REQUEST_TIMEOUT, http.HTTPStatus.TOO_EARLY, http.HTTPStatus.TOO_MANY_REQUESTS}
)
_SUSPICIOUS: Final = 4
_SHORTER: Final = (65536, 4096, 256)


@dataclass(slots=True)
class _Reply:
    status: int
    answer: Answered
    retry_after: float | None
    location: str

    @property
    def note(self) -> str:
        return f"{self.status} {self.answer.message}".strip()


class OTLPSink:
    """Deliver spans to one OTLP/HTTP endpoint. Creating it connects to nothing.

    - Only a 2xx answer that is an OTLP answer is an acknowledgement; a partial success is one, too.
    - 413 halves the batch; a single span that is too large is sent with its values cut.
    - 400 and 422 halve it until the spans that are refused stand alone; those are rejected, the others delivered.
    - 408, 425, 429, 5xx and broken connections are tried again later, for as long as the journal keeps the spans.
    - Everything else is a configuration that somebody has to mend: the sink pauses.

    Args:
        config: The endpoint.
        conventions: Names of conventions that spans carry on their way there.
        annotations: In whose form scores go there; None: what the endpoint turns out to be.
        clock: Tells the time of the day in seconds, for ``Retry-After`` dates.
    """

    def __init__(
        self,
        config: OTLPConfig,
        *,
        conventions: Collection[str] = (),
        annotations: str | None = None,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self.config = config
        self.name = config.name
        self._dialect = Dialect(conventions) if conventions else None
        self._annotations = annotations
        self._scores = self._score_writer()
        self._clock = clock
        self._client = HTTPClient(
            lambda: tls_context(config.certificate, config.client_certificate, config.client_key)
        )
        self._accepted = False

    def renew(self, other: OTLPSink) -> None:
        """Go on with other headers and conventions; may be called from another thread."""
        self.config, self._dialect, self._annotations = other.config, other._dialect, other._annotations
        self._scores = self._score_writer()

    def _score_writer(self) -> ScoreWriter:
        langfuse = self._dialect is not None and "langfuse" in self._dialect.names
        return ScoreWriter(
            self._annotations, self.config, langfuse=langfuse, request=self._ask, export=self._export
        )

    def close(self) -> None:
        """Close the connections."""
        self._client.close()

    def interrupt(self) -> None:
        """See Interruptible."""
        self._client.interrupt()

    def deliver(self, batch: Batch, timeout: float) -> Outcome:
        """Deliver a batch; see Sink."""
        outcome = Outcome()
        until = time.monotonic() + min(timeout, self.config.timeout)
        refused_scores = 0
        try:
            for are_scores, part in self._scores.parts(batch, until):
                before = outcome.rejected
                deliver = self._scores.write if are_scores else self._deliver
                goes_on = deliver(part, until, outcome)
                refused_scores += outcome.rejected - before if are_scores else 0
                if not goes_on:
                    break
        except StoppedError as stopped:
            _stop(outcome, stopped.answer, stopped.note)
        if outcome.rejected > refused_scores and not self._accepted:
            # An endpoint that has refused everything since the start is the wrong one, or lacks a header (MLflow its
            # experiment), and the spans are fine. Real poison is told from that as soon as another span is taken.
            return Outcome(answer="paused", note=outcome.refused[0][1])
        return outcome

    def _deliver(self, batch: Batch, until: float, outcome: Outcome) -> bool:
        """Deliver a batch, in parts if need be; return whether all of it is dealt with."""
        spans = span_count(batch.items)
        if not spans:
            outcome.taken += len(batch.items)
            return True
        reply = self._send(self._encoded(batch), until)
        if isinstance(reply, str):
            return _stop(outcome, "retry", reply)
        if reply.answer.accepted:
            self._accepted = True
            rejected = min(max(reply.answer.rejected, 0), spans)
            self._scores.delivered(batch.spans)
            outcome.taken += len(batch.items)
            outcome.delivered += spans - rejected
            outcome.rejected += rejected
            if rejected:
                logger.warning(
                    "%s rejected %d of %d spans: %s", self.name, rejected, spans, reply.answer.message
                )
                if rejected == spans:
                    outcome.refused += [(entry, reply.answer.message) for entry in batch.spans]
            return True
        if reply.status in _TOO_LARGE | _POISON:
            return self._part(batch, reply, until, outcome)
        if reply.status in _AGAIN or reply.status >= http.HTTPStatus.INTERNAL_SERVER_ERROR:
            outcome.retry_after = reply.retry_after
            return _stop(outcome, "retry", reply.note)
        return _stop(outcome, "paused", reply.note)

    def _part(self, batch: Batch, reply: _Reply, until: float, outcome: Outcome) -> bool:
        """Deliver in two halves what was refused as a whole, or settle what becomes of a single span."""
        if len(batch.items) > 1:
            middle = len(batch.items) // 2
            halves = batch.part(0, middle), batch.part(middle, len(batch.items))
            return all(self._deliver(half, until, outcome) for half in halves)
        (entry,) = batch.spans
        if reply.status in _TOO_LARGE:
            for size in _SHORTER:
                shorter = Batch((shorten_entry(entry, size),), batch.origins)
                again = self._send(self._encoded(shorter), until)
                if isinstance(again, str):
                    return _stop(outcome, "retry", again)
                if again.answer.accepted:
                    self._accepted = True
                    outcome.taken += 1
                    outcome.delivered += 1
                    return True
        _refuse(outcome, entry, reply.note)
        return self._accepted or outcome.rejected < _SUSPICIOUS

    def _encoded(self, batch: Batch) -> bytes:
        if self.config.local_roots:
            batch = batch.translated(as_local_root)
        return (batch if self._dialect is None else batch.translated(self._dialect)).request()

    def _send(self, body: bytes, until: float) -> _Reply | str:
        """Send a request; return the reply, or what was wrong with the connection."""
        headers = {
            "user-agent": "lucidic-adapters",
            "accept-encoding": "identity",
            **self.config.headers,
            "content-type": "application/x-protobuf",
        }
        if self.config.gzip:
            body = gzip.compress(body, compresslevel=1, mtime=0)
            headers["content-encoding"] = "gzip"
        url = self.config.endpoint
        try:
            for _ in range(_REDIRECTS + 1):
                reply = self._post(url, body, headers, until)
                if reply.status not in _SAME_METHOD or not _same_host(url, reply.location):
                    return reply
                url = urljoin(url, reply.location)
        except HTTPError as error:
            return str(error)
        return reply

    def _post(self, url: str, body: bytes, headers: dict[str, str], until: float) -> _Reply:
        response = self._client.request("POST", url, body, headers, until=until, limit=BODY_LIMIT)
        self._scores.learn(response.status, response.headers)
        return _Reply(
            status=response.status,
            answer=read_answer(response.status, response.headers, response.body),
            retry_after=self._retry_after(response.headers.get("retry-after")),
            location=response.headers.get("location", ""),
        )

    def _export(self, batch: Batch, until: float) -> None:
        """Send a request of no span that the books know.

        Raises:
            StoppedError: It is not taken now.
            RefusedError: It is refused.
        """
        reply = self._send(self._encoded(batch), until)
        if isinstance(reply, str):
            raise StoppedError("retry", reply)
        if reply.status in _AGAIN or reply.status >= http.HTTPStatus.INTERNAL_SERVER_ERROR:
            raise StoppedError("retry", reply.note)
        if not reply.answer.accepted:
            raise RefusedError(reply.note)

    def _ask(self, method: str, url: str, body: bytes | None, until: float) -> tuple[int, bytes]:
        """Send a request to the REST of the backend behind the endpoint; return status and body of the answer.

        Raises:
            StoppedError: There is no answer.
        """
        headers = {
            "user-agent": "lucidic-adapters",
            "accept-encoding": "identity",
            **self.config.headers,
            "content-type": "application/json",
        }
        try:
            answer = self._client.request(method, url, body, headers, until=until, limit=REST_LIMIT)
        except HTTPError as error:
            raise StoppedError("retry", str(error)) from error
        return answer.status, answer.body

    def _retry_after(self, text: str | None) -> float | None:
        if text is None:
            return None
        try:
            return max(0.0, float(text)) if text.strip().isdigit() else self._until(text)
        except (ValueError, TypeError, OverflowError):
            return None

    def _until(self, date: str) -> float:
        return max(0.0, parsedate_to_datetime(date).timestamp() - self._clock())


def _same_host(url: str, location: str) -> bool:
    target = urlsplit(urljoin(url, location))
    return bool(location) and (target.scheme, target.netloc) == urlsplit(url)[:2]


def _stop(outcome: Outcome, answer: Answer, note: str) -> bool:
    outcome.answer, outcome.note = answer, note
    return False


def _refuse(outcome: Outcome, entry: SpanEntry, reason: str) -> None:
    outcome.taken += 1
    outcome.rejected += 1
    outcome.refused.append((entry, reason))
