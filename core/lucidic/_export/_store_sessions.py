"""The session registry: what the journal's session records and spans make of a session's row."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable
from typing import Any

import sqlalchemy as sa

from lucidic._export._payload import SpanEntry
from lucidic._export._store_schema import session_tags, sessions, upsert
from lucidic._records import SessionRecord


def apply_session(connection: sa.Connection, record: SessionRecord, *, owner: str, owner_key: str) -> None:
    """Apply one change. Segments are read one after the other, so changes may come in any order: times decide."""
    query = sa.select(sessions).where(sessions.c.session_id == record.session_id)
    row = connection.execute(query).mappings().first()
    session = (
        dict(row)
        if row
        else _new_session(record.session_id, record.time_ns, owner=owner, source=record.source)
    )
    if record.event == "start" and record.time_ns >= session["state_ns"]:
        session |= {"state": "active", "ended_ns": None, "state_ns": record.time_ns}
        session |= {"source": record.source, "owner": owner, "owner_key": owner_key}
    elif record.event == "end" and record.time_ns >= session["state_ns"]:
        session |= {"state": "finished", "ended_ns": record.time_ns, "state_ns": record.time_ns}
    session["started_ns"] = min(session["started_ns"], record.time_ns)
    session["last_ns"] = max(session["last_ns"], record.time_ns)
    _merge_fields(session, record)
    connection.execute(upsert(sessions, connection), [session])
    _write_tags(connection, record.session_id, json.loads(session["fields"]).get("tags"))


def _new_session(session_id: str, time_ns: int, *, owner: str, source: str) -> dict[str, Any]:
    return {
        "session_id": session_id,
        "name": None,
        "state": "active",
        "state_ns": 0,
        "source": source,
        "owner": owner,
        "owner_key": "",
        "started_ns": time_ns,
        "ended_ns": None,
        "last_ns": time_ns,
        "user_id": None,
        "fields": "{}",
        "fields_ns": 0,
    }


def _merge_fields(session: dict[str, Any], record: SessionRecord) -> None:
    old, new = json.loads(session["fields"]), dict(record.fields)
    fields = {**old, **new} if record.time_ns >= session["fields_ns"] else {**new, **old}
    session["fields_ns"] = max(session["fields_ns"], record.time_ns)
    session["fields"] = json.dumps(fields)
    name, user_id = fields.get("name"), fields.get("user_id")
    session["name"] = None if name is None else str(name)
    session["user_id"] = None if user_id is None else str(user_id)


def _write_tags(connection: sa.Connection, session_id: str, tags: object) -> None:
    connection.execute(sa.delete(session_tags).where(session_tags.c.session_id == session_id))
    rows = [{"session_id": session_id, "tag": str(tag)} for tag in tags] if isinstance(tags, list) else []
    if rows:
        connection.execute(upsert(session_tags, connection, update=False), rows)


def note_spans(connection: sa.Connection, entries: Iterable[SpanEntry], *, owner: str) -> None:
    """Make rows for sessions that only spans name, and note when each session's first span started and its last ended."""
    first: dict[str, int] = {}
    last: dict[str, int] = {}
    for entry in entries:
        if entry.session_id is not None:
            first[entry.session_id] = min(first.get(entry.session_id, entry.start_ns), entry.start_ns)
            last[entry.session_id] = max(last.get(entry.session_id, 0), entry.end_ns)
    if not first:
        return
    # Nobody promised to end such a session: it has no owner that can die.
    rows = [
        _new_session(session_id, time_ns, owner=owner, source="span") for session_id, time_ns in first.items()
    ]
    connection.execute(upsert(sessions, connection, update=False), rows)
    # A framework's session is written down when its first span has started already.
    for session_id, time_ns in first.items():
        newer = sa.and_(sessions.c.session_id == session_id, sessions.c.started_ns > time_ns)
        connection.execute(sa.update(sessions).where(newer).values(started_ns=time_ns))
    for session_id, time_ns in last.items():
        older = sa.and_(sessions.c.session_id == session_id, sessions.c.last_ns < time_ns)
        connection.execute(sa.update(sessions).where(older).values(last_ns=time_ns))


def close_dead(connection: sa.Connection, is_dead: Callable[[str], bool], *, only_count: bool = False) -> int:
    """Close the active sessions whose owner is dead; return how many are, or with ``only_count`` would be, closed.

    A session with ``auto_end=False`` stays open: its program meant to go on in another process.
    """
    query = sa.select(sessions.c.session_id, sessions.c.owner_key, sessions.c.last_ns, sessions.c.fields)
    rows = connection.execute(query.where(sessions.c.state == "active", sessions.c.owner_key != "")).all()
    dead = {key: is_dead(key) for key in {row.owner_key for row in rows}}
    closed = 0
    for row in rows:
        if dead[row.owner_key] and json.loads(row.fields).get("auto_end") is not False:
            closed += 1
            if only_count:
                continue
            change = {"state": "died", "ended_ns": row.last_ns, "state_ns": row.last_ns}
            connection.execute(
                sa.update(sessions).where(sessions.c.session_id == row.session_id).values(change)
            )
    return closed
