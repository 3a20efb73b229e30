"""Reading the store: rows as the shared records."""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import sqlalchemy as sa
from opentelemetry.sdk.util.instrumentation import InstrumentationScope

from lucidic._export._decode import decode_resource, decode_span
from lucidic._export._encode import encode_scope
from lucidic._export._payload import Origin, SpanEntry
from lucidic._export._sink import Batch
from lucidic._export._store_schema import origins, session_tags, sessions, spans
from lucidic._records import JSONValue, Score, StoredSession, StoredSpan, StoredTrace
from lucidic._score_span import SCOPE, score_of


_ERROR = 2
_SCORES = encode_scope(InstrumentationScope(SCOPE))


def read_spans(
    connection: sa.Connection,
    session_id: str | None,
    trace_id: str | None,
    since_ns: int | None,
    *,
    unattributed: bool = False,
) -> list[StoredSpan]:
    """Read spans by start time; what is None does not narrow."""
    query = sa.select(spans.c.data, spans.c.session_id, spans.c.origin)
    if session_id is not None:
        query = query.where(spans.c.session_id == session_id)
    elif unattributed:
        query = query.where(spans.c.session_id.is_(None))
    if trace_id is not None:
        try:
            query = query.where(spans.c.trace_id == bytes.fromhex(trace_id))
        except ValueError:
            return []
    if since_ns is not None:
        query = query.where(spans.c.start_ns >= since_ns)
    rows = connection.execute(query.order_by(spans.c.start_ns, spans.c.span_id)).all()
    known = _read_origins(connection, {row.origin for row in rows})
    result = []
    for row in rows:
        resource, scope = known.get(row.origin, ({}, b""))
        result.append(decode_span(row.data, session_id=row.session_id, scope=scope, resource=resource))
    return result


def _read_origins(
    connection: sa.Connection, keys: set[bytes]
) -> dict[bytes, tuple[dict[str, JSONValue], bytes]]:
    if not keys:
        return {}
    query = sa.select(origins.c.key, origins.c.resource, origins.c.scope)
    rows = connection.execute(query).all()
    return {row.key: (decode_resource(row.resource), row.scope) for row in rows if row.key in keys}


def read_session(connection: sa.Connection, session_id: str) -> StoredSession | None:
    """Read one session."""
    found = read_sessions(connection, {"session_id": session_id})
    return found[0] if found else None


def read_sessions(
    connection: sa.Connection,
    wanted: Mapping[str, str],
    *,
    times: tuple[int | None, int | None] = (None, None),
    tag: str | None = None,
    page: tuple[int | None, int] = (None, 0),
) -> list[StoredSession]:
    """Read sessions with the sums over their spans, the newest first."""
    query = _matching(sa.select(sessions), wanted, times, tag)
    query = query.order_by(sessions.c.started_ns.desc(), sessions.c.session_id.desc())
    limit, offset = page
    chosen = query.limit(limit).offset(offset).subquery()
    carriers = _carriers(connection)
    sums = _sums(sa.select(chosen.c.session_id), carriers)
    both = sa.select(chosen, *(column for column in sums.c if column.name != "of_session"))
    joined = both.select_from(chosen.outerjoin(sums, sums.c.of_session == chosen.c.session_id))
    ordered = joined.order_by(chosen.c.started_ns.desc(), chosen.c.session_id.desc())
    scores = _scores(connection, sa.select(chosen.c.session_id), carriers)
    return [
        _session(row, tuple(scores.get(row["session_id"], ())))
        for row in connection.execute(ordered).mappings()
    ]


def _carriers(connection: sa.Connection) -> Sequence[bytes]:
    """Return the origins of scores, usually one or none."""
    return connection.execute(sa.select(origins.c.key).where(origins.c.scope == _SCORES)).scalars().all()


def count_sessions(connection: sa.Connection, wanted: Mapping[str, str], *, tag: str | None) -> int:
    """Count sessions."""
    query = _matching(sa.select(sa.func.count()).select_from(sessions), wanted, (None, None), tag)
    return int(connection.execute(query).scalar_one())


def _matching(
    query: sa.Select[Any],
    wanted: Mapping[str, str],
    times: tuple[int | None, int | None],
    tag: str | None,
) -> sa.Select[Any]:
    for column, value in wanted.items():
        query = query.where(sessions.c[column] == value)
    since_ns, until_ns = times
    if since_ns is not None:
        query = query.where(sessions.c.started_ns >= since_ns)
    if until_ns is not None:
        query = query.where(sessions.c.started_ns < until_ns)
    if tag is not None:
        tagged = sa.select(session_tags.c.session_id).where(session_tags.c.tag == tag)
        query = query.where(sessions.c.session_id.in_(tagged))
    return query


def read_traces(connection: sa.Connection, session_id: str) -> list[StoredTrace]:
    """Read the sums over each trace of a session, the oldest trace first; a score of the session is none."""
    is_score = spans.c.origin.in_(_carriers(connection))
    query = (
        sa.select(
            spans.c.trace_id,
            sa.func.count().label("spans"),
            sa.func.sum(sa.case((spans.c.status == _ERROR, 1), else_=0)).label("errors"),
            sa.func.sum(spans.c.total_tokens).label("total_tokens"),
            sa.func.min(spans.c.start_ns).label("start_ns"),
            # A score that somebody gives later prolongs nothing.
            sa.func.max(sa.case((is_score, None), else_=spans.c.end_ns)).label("end_ns"),
        )
        .where(spans.c.session_id == session_id)
        .group_by(spans.c.trace_id)
        .having(sa.func.sum(sa.case((is_score, 0), else_=1)) > 0)
        .order_by(sa.text("start_ns"), spans.c.trace_id)
    )
    return [
        StoredTrace(
            trace_id=row.trace_id.hex(),
            spans=row.spans,
            errors=row.errors,
            total_tokens=row.total_tokens or 0,
            start_ns=row.start_ns,
            end_ns=row.end_ns,
        )
        for row in connection.execute(query)
    ]


def _scores(connection: sa.Connection, ids: Any, carriers: Sequence[bytes]) -> dict[str, list[Score]]:
    """Read the scores of the sessions themselves: of one name and identifier, the latest."""
    if not carriers:
        return {}
    query = sa.select(spans.c.session_id, spans.c.data).where(
        spans.c.session_id.in_(ids), spans.c.origin.in_(carriers)
    )
    found: dict[str, dict[tuple[str, str], Score]] = defaultdict(dict)
    for row in connection.execute(query.order_by(spans.c.start_ns, spans.c.span_id)):
        span = decode_span(row.data, session_id=row.session_id)
        score = score_of(span.attributes, span.start_ns)
        if score is not None and score.span_id is None:
            found[row.session_id][score.name, score.identifier] = score
    return {session_id: list(scores.values()) for session_id, scores in found.items()}


def _sums(ids: Any, carriers: Sequence[bytes]) -> Any:
    # A score of a session stands in a trace of its own, and that is no turn.
    traces = sa.case((spans.c.origin.in_(carriers), None), else_=spans.c.trace_id)
    return (
        sa.select(
            spans.c.session_id.label("of_session"),
            sa.func.count().label("spans"),
            sa.func.count(sa.distinct(traces)).label("traces"),
            sa.func.sum(sa.case((spans.c.status == _ERROR, 1), else_=0)).label("errors"),
            sa.func.sum(spans.c.prompt_tokens).label("prompt_tokens"),
            sa.func.sum(spans.c.completion_tokens).label("completion_tokens"),
            sa.func.sum(spans.c.total_tokens).label("total_tokens"),
        )
        .where(spans.c.session_id.in_(ids))
        .group_by(spans.c.session_id)
        .subquery()
    )


def _session(row: sa.RowMapping, scores: tuple[Score, ...]) -> StoredSession:
    return StoredSession(
        session_id=row["session_id"],
        name=row["name"],
        state=row["state"],
        source=row["source"],
        owner=row["owner"],
        started_ns=row["started_ns"],
        ended_ns=row["ended_ns"],
        fields=json.loads(row["fields"]),
        traces=int(row["traces"] or 0),
        spans=int(row["spans"] or 0),
        errors=int(row["errors"] or 0),
        prompt_tokens=int(row["prompt_tokens"] or 0),
        completion_tokens=int(row["completion_tokens"] or 0),
        total_tokens=int(row["total_tokens"] or 0),
        scores=scores,
    )


def read_batches(
    connection: sa.Connection,
    session_ids: Sequence[str],
    times: tuple[int | None, int | None],
    size: int,
) -> Iterator[Batch]:
    """Read spans as they were written, in batches by start time; no session ids means all spans."""
    query = sa.select(spans)
    if session_ids:
        query = query.where(spans.c.session_id.in_(session_ids))
    since_ns, until_ns = times
    if since_ns is not None:
        query = query.where(spans.c.start_ns >= since_ns)
    if until_ns is not None:
        query = query.where(spans.c.start_ns < until_ns)
    ordered = query.order_by(spans.c.start_ns, spans.c.trace_id, spans.c.span_id)
    known = {row.key: Origin(**row._mapping) for row in connection.execute(sa.select(origins))}
    for part in connection.execute(ordered).partitions(size):
        yield Batch(tuple(_entry(row) for row in part), known)


def _entry(row: Any) -> SpanEntry:
    tokens = row.prompt_tokens, row.completion_tokens, row.total_tokens
    return SpanEntry(row.origin, row.status, row.start_ns, row.end_ns, *tokens, row.session_id, row.data)
