"""Scores on their way to an OTLP endpoint: in its backend's own form, or as OpenInference's carrier spans."""

from __future__ import annotations

import hashlib
import http
import json
import logging
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any, Final

from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace.id_generator import IdGenerator
from typing_extensions import override

from lucidic._export._annotations import FORMS, Call, UnknownTargetError
from lucidic._export._decode import decode_scope, decode_span
from lucidic._export._hosted_http import RefusedError, StoppedError
from lucidic._export._options import ExportOptions
from lucidic._export._otlp_config import TRACES_PATH, OTLPConfig
from lucidic._export._payload import SpanEntry, pack_origin, pack_span, unpack_origin, unpack_span
from lucidic._export._sink import Batch, Outcome
from lucidic._records import Score, SessionRecord
from lucidic._score_span import SCOPE, carrier, score_of


logger = logging.getLogger("lucidic.export")

FAILED_BY_ITSELF: Final = "failure"
"""The source of an end that an error wrote and nobody judged."""
PATIENCE: Final = 30.0
"""Seconds for which a score waits for a session or span that the backend does not know."""
_SOON: Final = (0.1, 0.2, 0.4, 0.8)
"""Seconds between the first attempts: Phoenix answers for spans a moment before it knows them."""
_REMEMBERED: Final = 50_000
_MLFLOW_EXPERIMENT: Final = "x-mlflow-experiment-id"
_PHOENIX_VERSION: Final = "x-phoenix-server-version"

Request = Callable[[str, str, bytes | None, float], tuple[int, bytes]]
"""Sends JSON to an address by a time; raises StoppedError without an answer."""


class ScoreWriter:
    """What of a batch is a score, and where it goes.

    Args:
        form: One of ``lucidic._config.ANNOTATIONS``; None: what the endpoint turns out to be.
        langfuse: The endpoint's address is Langfuse's.
        request: Sends a request.
        export: Sends a batch as an OTLP request by a time; raises StoppedError if it is not taken now, and RefusedError if
            it never will be.
    """

    def __init__(
        self,
        form: str | None,
        config: OTLPConfig,
        *,
        langfuse: bool,
        request: Request,
        export: Callable[[Batch, float], None],
    ) -> None:
        self._form = form or (
            "mlflow" if _MLFLOW_EXPERIMENT in config.headers else "langfuse" if langfuse else None
        )
        self._experiment = config.headers.get(_MLFLOW_EXPERIMENT, "")
        base = config.endpoint.partition("?")[0].rstrip("/").removesuffix(f"/{TRACES_PATH}")
        self._base = base.removesuffix("/api/public/otel")
        self._request = request
        self._export = export
        self._sent: set[str] = set()
        self._missed: dict[tuple[str | None, str | None], float] = {}

    def learn(self, status: int, headers: Mapping[str, str]) -> None:
        """Take from an answer of the endpoint what it is."""
        if self._form is None and (_PHOENIX_VERSION in headers or status == http.HTTPStatus.OK):
            self._form = "phoenix" if _PHOENIX_VERSION in headers else "spans"

    def delivered(self, entries: Iterable[SpanEntry]) -> None:
        """Note whose spans the endpoint has."""
        if self._form != "spans":
            if len(self._sent) > _REMEMBERED:
                self._sent.clear()
            self._sent.update(entry.session_id for entry in entries if entry.session_id is not None)

    def parts(self, batch: Batch, until: float) -> Iterator[tuple[bool, Batch]]:
        """Yield a batch in parts that are scores and parts that are not, each with which of the two it is.

        Raises:
            StoppedError: It has to be known what the endpoint is, and it does not answer.
        """
        carriers = {key for key, origin in batch.origins.items() if decode_scope(origin.scope)[0] == SCOPE}
        marks = [
            item.origin in carriers if isinstance(item, SpanEntry) else bool(verdicts(item))
            for item in batch.items
        ]
        start = marks.index(True) if True in marks else len(marks)
        if start:
            yield False, batch.part(0, start)
        if start == len(marks):
            return
        if self._form is None:
            # What was delivered just now has not said it.
            self._find_out(until)
        if self._form == "spans":
            marks = [mark and _is_explicit(item) for mark, item in zip(marks, batch.items, strict=True)]
        for stop in range(start + 1, len(marks) + 1):
            if stop == len(marks) or marks[stop] != marks[start]:
                yield marks[start], batch.part(start, stop)
                start = stop

    def _find_out(self, until: float) -> None:
        try:
            # An empty request is a valid one: its answer says what the endpoint is.
            self._export(Batch((), {}), until)
        except RefusedError:
            self._form = self._form or "spans"

    def write(self, part: Batch, until: float, outcome: Outcome) -> bool:
        """Deliver a part that is scores; return whether all of it is dealt with."""
        for item in part.items:
            try:
                for score in scores_in(item, part):
                    self._write(score, until, judged=isinstance(item, SpanEntry))
            except RefusedError as error:
                if isinstance(item, SpanEntry):
                    outcome.rejected += 1
                    outcome.refused.append((item, str(error)))
                else:
                    logger.warning("The verdict on session %r was refused: %s", item.session_id, error)
            except StoppedError as stopped:
                outcome.answer, outcome.note = stopped.answer, stopped.note
                return False
            else:
                outcome.delivered += isinstance(item, SpanEntry)
            outcome.taken += 1
        return True

    def _write(self, score: Score, until: float, *, judged: bool) -> None:
        if self._form == "spans":
            self._export(_as_span(score), until)
            return
        target = score.session_id, score.span_id
        for pause in (*_SOON, None):
            try:
                FORMS[str(self._form)](score, self._call(until), self._experiment)
            except UnknownTargetError as error:
                if not judged and score.session_id not in self._sent:
                    return  # a session without spans is none to a backend, and nobody asked for its score
                if pause is not None and time.monotonic() + pause < until:
                    time.sleep(pause)
                    continue
                since = self._missed.setdefault(target, time.monotonic())
                if time.monotonic() - since < PATIENCE:
                    raise StoppedError("retry", f"A score waits for what it is about: {error}") from error
                del self._missed[target]
                raise RefusedError(f"The backend does not know what the score is about: {error}") from error
            self._missed.pop(target, None)
            return

    def _call(self, until: float) -> Call:
        def call(method: str, path: str, content: Mapping[str, Any] | None = None) -> tuple[int, Any]:
            body = None if content is None else json.dumps(content).encode()
            status, answer = self._request(method, self._base + path, body, until)
            try:
                return status, json.loads(answer) if answer else None
            except ValueError:
                return status, None

        return call


def _is_explicit(item: SpanEntry | SessionRecord) -> bool:
    """Tell whether it is a verdict that a program gave; what is a span already is delivered as one."""
    return isinstance(item, SessionRecord) and item.source != FAILED_BY_ITSELF


def scores_in(item: SpanEntry | SessionRecord, batch: Batch) -> list[Score]:
    """Return the scores that an item of a batch holds."""
    if isinstance(item, SessionRecord):
        return verdicts(item)
    span = decode_span(item.data, session_id=item.session_id, scope=batch.origin(item).scope)
    score = score_of(span.attributes, span.start_ns)
    if score is None:
        raise RefusedError("The span is no score.")
    return [score]


def verdicts(record: SessionRecord) -> list[Score]:
    """Return what the end, or a change, of a session says of it as scores: its success and its evaluation."""
    fields = record.fields
    found = []
    for name, field in (("success", "is_successful"), ("session_eval", "session_eval")):
        value = fields.get(field)
        if isinstance(value, (bool, int, float)):
            comment = fields.get(f"{field}_reason")
            score = Score(
                name=name,
                value=value,
                comment=comment if isinstance(comment, str) else None,
                annotator_kind="CODE",
                identifier="lucidic",
                session_id=record.session_id,
                time_ns=record.time_ns,
            )
            found.append(score)
    return found


def _as_span(score: Score) -> Batch:
    """Make the span that carries a verdict; it has the same ids at every attempt."""
    span = carrier(score, Resource.create(), ids=_Ids(score))
    key, packed = pack_origin(span)
    entry = unpack_span(pack_span(span, key, ExportOptions().span_bytes))
    return Batch((entry,), {key: unpack_origin(packed)})


class _Ids(IdGenerator):
    def __init__(self, score: Score) -> None:
        told = f"{score.session_id}\n{score.name}\n{score.time_ns}"
        self._digest = hashlib.blake2s(told.encode("utf-8", "replace"), digest_size=24).digest()

    @override
    def generate_trace_id(self) -> int:
        return int.from_bytes(self._digest[:16], "big")

    @override
    def generate_span_id(self) -> int:
        return int.from_bytes(self._digest[16:], "big")
