"""The tables of the local store, and how its database is opened.

SQLAlchemy Core; nothing here is SQLite's alone but the pragmas.
"""

from __future__ import annotations

import sqlite3
import time
from pathlib import Path
from typing import Any, Final

import sqlalchemy as sa
from sqlalchemy.dialects import sqlite
from sqlalchemy.pool import ConnectionPoolEntry

from lucidic._export._network import network_kind


SCHEMA_VERSION: Final = 1
BUSY_SECONDS: Final = 5.0
_BUSY_TICK: Final = 0.01
_WAL_LIMIT: Final = 64 << 20

metadata = sa.MetaData()

meta = sa.Table(
    "meta",
    metadata,
    sa.Column("key", sa.Text, primary_key=True),
    sa.Column("value", sa.Text, nullable=False),
)

origins = sa.Table(
    "origins",
    metadata,
    sa.Column("key", sa.LargeBinary, primary_key=True),
    sa.Column("resource", sa.LargeBinary, nullable=False),
    sa.Column("resource_schema", sa.Text, nullable=False),
    sa.Column("scope", sa.LargeBinary, nullable=False),
    sa.Column("scope_schema", sa.Text, nullable=False),
)

spans = sa.Table(
    "spans",
    metadata,
    sa.Column("trace_id", sa.LargeBinary, primary_key=True),
    sa.Column("span_id", sa.LargeBinary, primary_key=True),
    sa.Column("session_id", sa.Text),
    sa.Column("start_ns", sa.BigInteger, nullable=False),
    sa.Column("end_ns", sa.BigInteger, nullable=False),
    sa.Column("status", sa.SmallInteger, nullable=False),
    sa.Column("prompt_tokens", sa.BigInteger, nullable=False),
    sa.Column("completion_tokens", sa.BigInteger, nullable=False),
    sa.Column("total_tokens", sa.BigInteger, nullable=False),
    sa.Column("origin", sa.LargeBinary, nullable=False),
    sa.Column("data", sa.LargeBinary, nullable=False),
    sa.Index("spans_by_session", "session_id", "start_ns"),
    sa.Index("spans_by_start", "start_ns"),
)

sessions = sa.Table(
    "sessions",
    metadata,
    sa.Column("session_id", sa.Text, primary_key=True),
    sa.Column("name", sa.Text),
    sa.Column("state", sa.Text, nullable=False),
    sa.Column("state_ns", sa.BigInteger, nullable=False),
    sa.Column("source", sa.Text, nullable=False),
    sa.Column("owner", sa.Text, nullable=False),
    sa.Column("owner_key", sa.Text, nullable=False),
    sa.Column("started_ns", sa.BigInteger, nullable=False),
    sa.Column("ended_ns", sa.BigInteger),
    sa.Column("last_ns", sa.BigInteger, nullable=False),
    sa.Column("user_id", sa.Text),
    sa.Column("fields", sa.Text, nullable=False),
    sa.Column("fields_ns", sa.BigInteger, nullable=False),
    sa.Index("sessions_by_start", "started_ns"),
    sa.Index("sessions_by_state", "state", "owner_key"),
)

session_tags = sa.Table(
    "session_tags",
    metadata,
    sa.Column("session_id", sa.Text, primary_key=True),
    sa.Column("tag", sa.Text, primary_key=True),
)

cursors = sa.Table(
    "cursors",
    metadata,
    sa.Column("segment", sa.Text, primary_key=True),
    sa.Column("owner", sa.Text, nullable=False),
    sa.Column("offset", sa.BigInteger, nullable=False),
    sa.Column("records", sa.BigInteger, nullable=False),
    sa.Column("top_sequence", sa.BigInteger, nullable=False),
    sa.Column("delivered", sa.BigInteger, nullable=False),
    sa.Column("unreadable", sa.BigInteger, nullable=False),
    sa.Column("done_ns", sa.BigInteger),
)
"""How far each segment is imported; changed in the transaction that writes the spans."""

totals = sa.Table(
    "totals",
    metadata,
    sa.Column("key", sa.Text, primary_key=True),
    sa.Column("value", sa.BigInteger, nullable=False),
)
"""The sums over segments that are gone: ``produced``, ``delivered``, ``dropped.<reason>``."""


def open_engine(path: Path) -> sa.Engine:
    """Open the SQLite database; the file is made at the first connection."""
    engine = sa.create_engine(f"sqlite:///{path}", connect_args={"timeout": BUSY_SECONDS})
    # The write-ahead log needs memory that all processes share: over a network the older journal is the safe one.
    journal = "DELETE" if network_kind(path.parent) else "WAL"

    def connected(connection: Any, entry: ConnectionPoolEntry) -> None:
        _connected(connection, journal)

    sa.event.listen(engine, "connect", connected)
    sa.event.listen(engine, "begin", _begin)
    return engine


def _connected(connection: Any, journal: str) -> None:
    # The driver would begin transactions on its own, and deferred ones.
    connection.isolation_level = None
    until = time.monotonic() + BUSY_SECONDS
    # Changing to WAL, and the first and last connection's moments, do not wait by themselves.
    while not _set_pragmas(connection, journal, last=time.monotonic() > until):
        time.sleep(_BUSY_TICK)


def _set_pragmas(connection: Any, journal: str, *, last: bool) -> bool:
    try:
        _execute_pragmas(connection, journal)
    except sqlite3.OperationalError as error:
        if last or "locked" not in str(error):
            raise
        return False
    return True


def _execute_pragmas(connection: Any, journal: str) -> None:
    cursor = connection.cursor()
    # Spans are larger than the usual page of 4 KB: pages of 16 KB cost a third less. Only a new file takes it.
    cursor.execute("PRAGMA page_size=16384")
    cursor.execute(f"PRAGMA journal_mode={journal}")
    cursor.execute(f"PRAGMA synchronous={'NORMAL' if journal == 'WAL' else 'FULL'}")
    cursor.execute(f"PRAGMA journal_size_limit={_WAL_LIMIT}")
    cursor.close()


def _begin(connection: sa.Connection) -> None:
    # A deferred transaction that reads and then writes fails with SQLITE_BUSY whatever the timeout is.
    write = connection.get_execution_options().get("lucidic_write", False)
    connection.exec_driver_sql("BEGIN IMMEDIATE" if write else "BEGIN")


def write_rows(connection: sa.Connection, table: sa.Table, rows: list[tuple[Any, ...]]) -> None:
    """Insert rows that have a value for each column, in their order; a row of the same key is replaced."""
    statement = upsert(table, connection)
    if not connection.dialect.positional:
        connection.execute(statement, [dict(zip(table.columns.keys(), row, strict=True)) for row in rows])
        return
    # Rows go to the driver as they are: to name and unname their values costs as much as to write them.
    sql = _compiled.get((table.name, connection.dialect.name))
    if sql is None:
        sql = str(statement.compile(dialect=connection.dialect, column_keys=table.columns.keys()))
        _compiled[table.name, connection.dialect.name] = sql
    connection.exec_driver_sql(sql, rows)


_compiled: dict[tuple[str, str], str] = {}


def upsert(table: sa.Table, connection: sa.Connection, *, update: bool = True) -> Any:
    """Build an insert that replaces the row of the same key, or leaves it with ``update=False``."""
    insert: Any = sqlite.insert
    if connection.dialect.name == "postgresql":
        from sqlalchemy.dialects import postgresql

        insert = postgresql.insert
    statement = insert(table)
    keys = [column.name for column in table.primary_key]
    if not update:
        return statement.on_conflict_do_nothing(index_elements=keys)
    changed = {
        column.name: statement.excluded[column.name] for column in table.columns if not column.primary_key
    }
    return statement.on_conflict_do_update(index_elements=keys, set_=changed)
