"""The local store: every finished span and every session of a home folder, in one SQLite database.

Any process may read it while others write. Whoever wants to read first imports what the journal holds: the cursor
of each segment is in the same database, so two processes that import at once never import a span twice.
"""

from __future__ import annotations

import contextlib
import logging
import threading
import time
from collections.abc import Generator
from pathlib import Path
from typing import Any, Final

import sqlalchemy as sa

from lucidic._export._book import Book, Position
from lucidic._export._failpoints import failpoint
from lucidic._export._fork_gate import gate
from lucidic._export._leader import Leadership
from lucidic._export._network import warn_once
from lucidic._export._orphans import close_orphans
from lucidic._export._retention import known_segments
from lucidic._export._segment import is_open, owner_alive, owner_of, segments
from lucidic._export._store_import import Foreign, import_segment
from lucidic._export._store_reading import Reading
from lucidic._export._store_schema import (
    BUSY_SECONDS,
    SCHEMA_VERSION,
    cursors,
    meta,
    metadata,
    open_engine,
    totals,
    upsert,
)
from lucidic._export._store_sessions import close_dead
from lucidic.errors import StoreError


logger = logging.getLogger("lucidic.export")

_TICK: Final = 0.01
_CORRUPT: Final = ("malformed", "not a database")

_abandoned: list[sa.Engine] = []
"""Engines that a fork found in use: closing their connections in the child would harm the parent's database."""


class Store(Reading):
    """The spans and sessions under ``home``. Creating it touches no disk.

    Safe to use from several threads. In a forked child it opens connections of its own.
    """

    def __init__(self, home: Path) -> None:
        self.home = Path(home)
        self.path = self.home / "store.db"
        self.spool = self.home / "spool"
        self._engine: sa.Engine | None = None
        self._lock = threading.Lock()
        self._foreign: set[str] = set()
        self._failed: set[str] = set()
        gate.add(self)

    def catch_up(self) -> None:
        """Import what the journal holds and close the sessions of dead processes.

        Where another process is importing just now, waits for it up to 5 seconds, and reads past it after that.

        Raises:
            StoreError: The database cannot be opened.
        """
        while self.import_once():
            pass
        with self._errors():
            closed = close_orphans(self.spool)
        while closed and self.import_once():
            pass
        self.close_dead()

    def import_once(self) -> bool:
        """Import the next part of every segment; return whether there may be more.

        Raises:
            StoreError: The database cannot be opened.
        """
        names = [name for name in segments(self.spool) if name not in self._foreign]
        if not names:
            return False
        more = False
        known = self.positions()
        for name in names:
            path = self.spool / name
            row = known.get(name)
            if row is not None and not _has_news(path, row.offset, done=row.done_ns is not None):
                continue
            try:
                more = self._import(path) or more
            except FileNotFoundError:
                continue
            except StoreError:
                raise
            except Exception:
                # One segment that cannot be imported must not hold up the others; it stays pending.
                if name not in self._failed:
                    self._failed.add(name)
                    logger.exception("The segment %s cannot be imported; it is kept.", name)
        return more

    def _import(self, path: Path) -> bool:
        try:
            with self._write() as connection:
                more = import_segment(connection, path)
        except Foreign:
            self._foreign.add(path.name)
            return False
        failpoint("import-after-commit")
        return more

    def positions(self) -> dict[str, Position]:
        """Return how far each segment is imported.

        Raises:
            StoreError: The database cannot be read.
        """
        with self._read() as connection:
            rows = connection.execute(sa.select(cursors)).all()
        return {row.segment: _position(row) for row in rows}

    def book(self) -> Book:
        """Return the store's page of the books.

        Raises:
            StoreError: The database cannot be read.
        """
        with self._read() as connection:
            rows = connection.execute(sa.select(cursors)).all()
            sums = {row.key: row.value for row in connection.execute(sa.select(totals))}
        total = Position(delivered=sums.pop("delivered", 0), dropped=sums)
        return Book(positions={row.segment: _position(row) for row in rows}, totals=total)

    def fold(self) -> None:
        """Add the counts of segments that are gone to the totals, and forget their cursors.

        Raises:
            StoreError: The database cannot be written.
        """
        book = self.book()
        gone = book.positions.keys() - known_segments(self.spool)
        if not gone:
            return
        with self._write() as connection:
            # Another process may have done it since.
            rows = connection.execute(sa.select(cursors).where(cursors.c.segment.in_(gone))).all()
            for row in rows:
                position = _position(row)
                _add_total(connection, "delivered", position.delivered)
                for reason, number in position.dropped.items():
                    _add_total(connection, reason, number)
            connection.execute(sa.delete(cursors).where(cursors.c.segment.in_(gone)))

    def close_dead(self) -> None:
        """Close the sessions of dead processes whose segments are imported to the end as died.

        Raises:
            StoreError: The database cannot be opened.
        """
        names = segments(self.spool)

        def is_dead(owner: str) -> bool:
            own = [name for name in names if owner_of(name) == owner]
            if owner_alive(owner) or any(is_open(self.spool / name) for name in own):
                return False
            known = self.positions()
            return all(name in known and known[name].done_ns is not None for name in own)

        with self._read() as connection:
            closing = close_dead(connection, is_dead, only_count=True)
        if closing:
            with self._write() as connection:
                close_dead(connection, is_dead)

    def _set_aside(self) -> None:
        """Put a corrupt database aside; the next use fills a new one from what the journal still holds."""
        self.close()
        aside = self.path.with_name(f"{self.path.name}.{time.time_ns()}.corrupt")
        try:
            self.path.rename(aside)
            for suffix in ("-wal", "-shm"):
                self.path.with_name(self.path.name + suffix).unlink(missing_ok=True)
        except OSError as error:
            logger.warning("The local store %s is corrupt and cannot be put aside: %s", self.path, error)
            return
        logger.warning("The local store was corrupt. It is kept as %s, and a new one is filled.", aside)

    def close(self) -> None:
        """Close the database connections; the next use opens new ones."""
        engine, self._engine = self._engine, None
        if engine is not None:
            engine.dispose()

    def __del__(self) -> None:
        # A thread that was still importing when the store was closed has opened it once more.
        with contextlib.suppress(Exception):
            self.close()

    def before_fork(self, *, quiet: bool) -> None:
        """Close the connections, or if one is in use keep them from ever being closed in the child."""
        engine, self._engine = self._engine, None
        if engine is not None and quiet:
            engine.dispose()
        elif engine is not None:
            _abandoned.append(engine)

    def _open(self) -> sa.Engine:
        with self._lock:
            if self._engine is not None and not self.path.exists():
                # Somebody deleted the file; what is written to it now would be gone. The journal fills a new one.
                self._engine.dispose()
                self._engine = None
            if self._engine is None:
                self.home.mkdir(mode=0o700, parents=True, exist_ok=True)
                engine = open_engine(self.path)
                warn_once(self.home)
                with self._alone():
                    _prepare(engine)
                self._engine = engine
            return self._engine

    @contextlib.contextmanager
    def _alone(self) -> Generator[None]:
        """Be the only process that makes the database; wait for another one a while."""
        lock = Leadership(self.home / "store.lock")
        until = time.monotonic() + BUSY_SECONDS
        while not lock.acquire() and time.monotonic() < until:
            time.sleep(_TICK)
        try:
            yield
        finally:
            lock.release()

    @contextlib.contextmanager
    def _connected(self, *, write: bool) -> Generator[sa.Connection]:
        with gate.inside(), self._errors():
            engine = self._open()
            pool = engine.pool
            try:
                with (
                    engine.connect().execution_options(lucidic_write=write) as connection,
                    connection.begin(),
                ):
                    yield connection
            finally:
                if engine is not self._engine:
                    # The store was closed meanwhile: this connection has come back to a pool that nobody has.
                    pool.dispose()

    def _read(self) -> contextlib.AbstractContextManager[sa.Connection]:
        return self._connected(write=False)

    def _write(self) -> contextlib.AbstractContextManager[sa.Connection]:
        return self._connected(write=True)

    @contextlib.contextmanager
    def _errors(self) -> Generator[None]:
        try:
            yield
        except FileNotFoundError:
            raise
        except (sa.exc.SQLAlchemyError, OSError) as error:
            reason = getattr(error, "orig", None) or error
            if any(sign in str(reason) for sign in _CORRUPT):
                self._set_aside()
            raise StoreError(f"The local store {self.path} cannot be used: {reason}") from error


def _has_news(path: Path, offset: int, *, done: bool) -> bool:
    try:
        return path.stat().st_size > offset or (not done and not is_open(path))
    except FileNotFoundError:
        return False


def _prepare(engine: sa.Engine) -> None:
    # Looked at first: making tables waits for whoever is writing.
    with engine.connect() as connection, connection.begin():
        if sa.inspect(connection).has_table(meta.name):
            return
    with engine.connect().execution_options(lucidic_write=True) as connection, connection.begin():
        metadata.create_all(connection)
        version = {"key": "schema", "value": str(SCHEMA_VERSION)}
        connection.execute(upsert(meta, connection, update=False), [version])


def _position(row: Any) -> Position:
    dropped = {"unreadable": row.unreadable} if row.unreadable else {}
    return Position(offset=row.offset, delivered=row.delivered, dropped=dropped, done_ns=row.done_ns)


def _add_total(connection: sa.Connection, key: str, number: int) -> None:
    connection.execute(upsert(totals, connection, update=False), [{"key": key, "value": 0}])
    changed = {"value": totals.c.value + number}
    connection.execute(sa.update(totals).where(totals.c.key == key).values(changed))
