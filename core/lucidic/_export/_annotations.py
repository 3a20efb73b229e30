"""Scores in the forms of the backends that have one of their own, by the REST next to their OTLP endpoint."""

from __future__ import annotations

import hashlib
import http
import json
from collections.abc import Callable, Mapping
from typing import Any, Final, Protocol
from urllib.parse import quote, urlencode

from lucidic._export._conventions import LANGFUSE_LIMIT, MLFLOW_LIMIT, fit
from lucidic._export._hosted_http import RefusedError, StoppedError
from lucidic._records import Score
from lucidic._score_span import as_label, as_number


class UnknownTargetError(Exception):
    """Raised when a backend does not know the session or span that a score is about; it may be on its way."""


class Call(Protocol):
    """Sends a request with a body of JSON; returns status and the JSON of the answer, None if it is none.

    Raises:
        StoppedError: There is no answer.
    """

    def __call__(
        self, method: str, path: str, content: Mapping[str, Any] | None = None, /
    ) -> tuple[int, Any]: ...


_AGAIN: Final = frozenset(
    {http.HTTPStatus.REQUEST_TIMEOUT, http.HTTPStatus.TOO_EARLY, http.HTTPStatus.TOO_MANY_REQUESTS}
)
_DENIED: Final = frozenset({http.HTTPStatus.UNAUTHORIZED, http.HTTPStatus.FORBIDDEN})


def _accepted(answer: tuple[int, Any], what: str) -> Any:
    """Return the content of an answer that is one.

    Raises:
        UnknownTargetError: The target is not known there, or not yet.
        StoppedError: It has to wait, or somebody has to mend the credentials.
        RefusedError: The score is refused for good.
    """
    status, content = answer
    note = f"{what}: {status} {json.dumps(content)[:200] if content else ''}".strip()
    if http.HTTPStatus.OK <= status < http.HTTPStatus.MULTIPLE_CHOICES:
        return content
    if status == http.HTTPStatus.NOT_FOUND:
        raise UnknownTargetError(note)
    if status in _AGAIN or status >= http.HTTPStatus.INTERNAL_SERVER_ERROR:
        raise StoppedError("retry", note)
    if status in _DENIED:
        raise StoppedError("paused", note)
    raise RefusedError(note)


def annotate_phoenix(score: Score, call: Call, _experiment: str) -> None:
    """Write Phoenix's annotation of a session or span; one of the same name and identifier is replaced.

    Raises:
        UnknownTargetError: Phoenix does not know the target, or not yet.
        StoppedError: It has to wait.
        RefusedError: It is refused for good.
    """
    result = {"score": as_number(score.value), "label": as_label(score.value), "explanation": score.comment}
    content = {
        "name": score.name,
        "annotator_kind": score.annotator_kind,
        "result": {key: value for key, value in result.items() if value is not None},
        "metadata": dict(score.metadata),
        "identifier": score.identifier,
    }
    # Phoenix strips the blanks of ids that it is sent in spans.
    if score.span_id is None:
        path, target = "session_annotations", {"session_id": (score.session_id or "").strip()}
    else:
        path, target = "span_annotations", {"span_id": score.span_id}
    # Otherwise it answers before it has looked whether it knows the target.
    query = urlencode({"sync": "true"})
    _accepted(call("POST", f"/v1/{path}?{query}", {"data": [{**target, **content}]}), path)


def annotate_mlflow(score: Score, call: Call, experiment: str) -> None:
    """Write MLflow's assessment of a trace or span; a session's is one of its first trace that names the session.

    MLflow keeps every assessment that it is sent: one of the same name and identifier is looked for and changed, so
    that a repetition adds nothing.

    Raises:
        UnknownTargetError: MLflow does not know the target, or not yet.
        StoppedError: It has to wait.
        RefusedError: It is refused for good.
    """
    metadata = {key: _as_text(value) for key, value in score.metadata.items()}
    metadata[_IDENTIFIER] = score.identifier
    if score.span_id is None:
        session_id = fit(score.session_id, MLFLOW_LIMIT) or ""
        trace_id = _first_trace(session_id, call, experiment)
        metadata[_SESSION] = session_id
    else:
        trace_id = f"tr-{score.trace_id}"
    said: dict[str, Any] = {
        "feedback": {"value": score.value},
        "rationale": score.comment or "",
        "metadata": metadata,
    }
    traces = f"/api/3.0/mlflow/traces/{quote(trace_id)}"
    if (known := _known_assessment(score, call, traces)) is not None:
        changed = {"assessment": said, "update_mask": "feedback,rationale,metadata"}
        _accepted(call("PATCH", f"{traces}/assessments/{quote(known)}", changed), "assessments")
        return
    assessment = {
        "assessment_name": score.name,
        "trace_id": trace_id,
        "source": {"source_type": _SOURCES[score.annotator_kind], "source_id": "lucidic"},
        **said,
    }
    if score.span_id is not None:
        assessment["span_id"] = score.span_id
    _accepted(call("POST", f"{traces}/assessments", {"assessment": assessment}), "assessments")


_IDENTIFIER: Final = "lucidic.identifier"
_SESSION: Final = "mlflow.trace.session"
_SOURCES: Final = {"HUMAN": "HUMAN", "LLM": "LLM_JUDGE", "CODE": "CODE"}


def _first_trace(session_id: str, call: Call, experiment: str) -> str:
    content = {
        "locations": [{"type": "MLFLOW_EXPERIMENT", "mlflow_experiment": {"experiment_id": experiment}}],
        "filter": f"metadata.`{_SESSION}` = {_quoted(session_id)}",
        "order_by": ["timestamp_ms ASC"],
        "max_results": 1,
    }
    found = _accepted(call("POST", "/api/3.0/mlflow/traces/search", content), "traces/search")
    traces = (found or {}).get("traces") or []
    if not traces:
        raise UnknownTargetError(f"MLflow has no trace of the session {session_id!r}.")
    return str(traces[0]["trace_id"])


def _quoted(text: str) -> str:
    # Its filter knows no escapes: the quote that the text does not hold is taken.
    return f'"{text}"' if "'" in text else f"'{text}'"


def _known_assessment(score: Score, call: Call, traces: str) -> str | None:
    found = _accepted(call("GET", traces), "traces")
    info = ((found or {}).get("trace") or {}).get("trace_info") or {}
    for each in info.get("assessments") or ():
        same = each.get("assessment_name") == score.name and each.get("span_id") == score.span_id
        if same and (each.get("metadata") or {}).get(_IDENTIFIER) == score.identifier:
            return str(each["assessment_id"])
    return None


def _as_text(value: object) -> str:
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)


def annotate_langfuse(score: Score, call: Call, _experiment: str) -> None:
    """Write Langfuse's score of a session or observation; one of the same identifier is replaced.

    Raises:
        StoppedError: It has to wait.
        RefusedError: It is refused for good.
    """
    value = score.value
    kind = "BOOLEAN" if isinstance(value, bool) else "CATEGORICAL" if isinstance(value, str) else "NUMERIC"
    target = {"sessionId": fit(score.session_id, LANGFUSE_LIMIT, ascii_only=True)}
    if score.span_id is not None:
        target = {"traceId": score.trace_id, "observationId": score.span_id}
    content = {
        # Langfuse's ids are of the whole project, ours of one target and name.
        "id": f"{score.identifier}-{_digest(score)}",
        "name": score.name,
        "value": int(value) if isinstance(value, bool) else value,
        "dataType": kind,
        "comment": score.comment,
        "metadata": dict(score.metadata),
        **target,
    }
    body = {key: value for key, value in content.items() if value is not None}
    _accepted(call("POST", "/api/public/scores", body), "scores")


def _digest(score: Score) -> str:
    target = f"{score.name}\n{score.session_id}\n{score.trace_id}\n{score.span_id}"
    return hashlib.blake2s(target.encode("utf-8", "replace"), digest_size=8).hexdigest()


Annotate = Callable[[Score, Call, str], None]
FORMS: Final[Mapping[str, Annotate]] = {
    "phoenix": annotate_phoenix,
    "mlflow": annotate_mlflow,
    "langfuse": annotate_langfuse,
}
"""By the names of ``lucidic._config.ANNOTATIONS``, in which ``spans`` stands for no form of its own."""
