"""One SQLite file: its connections, its write transaction, its schema, and what its errors mean.

Write-ahead log, `synchronous=FULL`: what is committed survives a power cut. Any process may write, one at a time;
any thread may use this object.
"""

from __future__ import annotations

import sqlite3
import time
from collections import deque
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from threading import Lock
from typing import Any, Final

from ...domain.errors import SagaledgerError
from ..errors import NotOurs, OutcomeUnknown, Unavailable
from .schema import check_version
from .statements import migrations, queries

BUSY_SECONDS: Final = 10.0
"""How long a writer waits for the other writers of the file before it gives up."""
_RETRY_SECONDS: Final = 0.001  # SQLite's own back-off sleeps so long that a busy file starves the waiting writer

SQL: Final = queries("sqlite")


def microseconds_now() -> int:
    """The database's clock, which for SQLite is that of the machine."""
    return time.time_ns() // 1_000


class SqliteFile:
    """A ledger's file, opened; an absent or empty one is created.

    Raises `NotOurs` for a file that holds something else or another version of the schema (`create` upgrades an older
    one), and `Unavailable` for one that cannot be opened.
    """

    def __init__(self, path: Path, *, url: str, create: bool = False, busy_seconds: float = BUSY_SECONDS) -> None:
        self.url = url
        self.path = path
        self._busy_seconds = busy_seconds
        self._idle: deque[sqlite3.Connection] = deque()
        self._writing = Lock()
        self._closed = False
        self._refuse_impossible_path()
        with self.explained():
            self._writer = self._connect()
            try:
                self._open(create=create)
            except BaseException:
                self._writer.close()
                raise

    def close(self) -> None:
        """Close every connection; the object is of no use afterwards."""
        with self._writing:
            self._closed = True
            self._writer.close()
            while self._idle:
                self._idle.popleft().close()

    @contextmanager
    def reading(self) -> Iterator[sqlite3.Connection]:
        """A connection for reading, of which each thread that asks at the same time gets another."""
        with self.explained():
            connection = self._idle.pop() if self._idle else self._connect_reader()
            try:
                yield connection
            finally:
                if self._closed:
                    connection.close()
                else:
                    self._idle.append(connection)

    @contextmanager
    def writing(self) -> Iterator[sqlite3.Connection]:
        """A write transaction: committed when the block ends, rolled back when it raises."""
        with self._writing, self.explained():
            self._begin()
            try:
                yield self._writer
            except BaseException:
                self._rollback()
                raise
            self._commit()

    @contextmanager
    def explained(self) -> Iterator[None]:
        """Turn an error of SQLite into ours, naming the file and the remedy."""
        try:
            yield
        except sqlite3.Error as error:
            raise self._explain(error) from error

    def _begin(self) -> None:
        deadline = time.monotonic() + self._busy_seconds
        while True:
            try:
                self._writer.execute("BEGIN IMMEDIATE")
            except sqlite3.OperationalError as error:
                if _primary_code(error) != sqlite3.SQLITE_BUSY or time.monotonic() >= deadline:
                    raise
                time.sleep(_RETRY_SECONDS)
            else:
                return

    def _commit(self) -> None:
        try:
            self._writer.execute("COMMIT")
        except sqlite3.Error as error:
            self._rollback()
            if _primary_code(error) == sqlite3.SQLITE_IOERR:  # the disk may or may not have kept it
                raise OutcomeUnknown("to the log", f"{self.path}: {error}") from error
            raise

    def _rollback(self) -> None:
        if self._writer.in_transaction:
            self._writer.execute("ROLLBACK")

    def _refuse_impossible_path(self) -> None:
        if self.path.is_dir():
            raise NotOurs(f"{self.path} is a folder, not a SQLite file: name a file in it, sqlite:///{self.path}/…db")
        if not self.path.parent.is_dir():
            raise Unavailable(f"the folder {self.path.parent} does not exist: create it, or correct the URL {self.url}")

    def _connect(self) -> sqlite3.Connection:
        connection = sqlite3.connect(self.path, timeout=0, isolation_level=None, check_same_thread=False)
        connection.execute("PRAGMA synchronous = FULL")
        connection.execute("PRAGMA cache_size = -32768")  # KiB: the index on streams is written all over
        connection.execute("PRAGMA wal_autocheckpoint = 4000")  # pages: each checkpoint waits for the disk
        return connection

    def _connect_reader(self) -> sqlite3.Connection:
        connection = sqlite3.connect(
            self.path, timeout=self._busy_seconds, isolation_level=None, check_same_thread=False
        )
        connection.execute("PRAGMA query_only = ON")
        return connection

    def _open(self, *, create: bool) -> None:
        if self._stored_version() != (newest := migrations("sqlite")[-1].version):
            if self._is_empty():
                self._writer.execute("PRAGMA journal_mode = WAL")
            elif not self._has_schema():
                tables = ", ".join(self._tables()[:3])
                raise NotOurs(f"{self.path} is a database of something else (it has {tables}): give the ledger its own")
            self._migrate(from_nothing_or=create)
        check_version(self._stored_version(), newest, place=str(self.path), url=self.url)

    def _migrate(self, *, from_nothing_or: bool) -> None:
        self._begin()
        try:
            self._writer.execute(SQL["create_schema"])
            stored = self._stored_version()  # again: another process may have been first
            pending = [migration for migration in migrations("sqlite") if migration.version > stored]
            if stored == 0 or from_nothing_or:
                for migration in pending:
                    for statement in _split(migration.sql):
                        self._writer.execute(statement)
                    self._writer.execute(SQL["migrated"], (migration.version, microseconds_now()))
        except BaseException:
            self._rollback()
            raise
        self._commit()

    def _has_schema(self) -> bool:
        return self._writer.execute(SQL["has_schema"]).fetchone() is not None

    def _tables(self) -> list[str]:
        return [name for (name,) in self._writer.execute(SQL["other_tables"])]

    def _is_empty(self) -> bool:
        return not self._tables()

    def _stored_version(self) -> int:
        if not self._has_schema():
            return 0
        (version,) = self._writer.execute(SQL["schema_version"]).fetchone()
        return int(version)

    def _explain(self, error: sqlite3.Error) -> SagaledgerError:
        match _primary_code(error):
            case sqlite3.SQLITE_NOTADB:
                return NotOurs(f"{self.path} is not a SQLite database: name another file")
            case sqlite3.SQLITE_BUSY | sqlite3.SQLITE_LOCKED:
                return Unavailable(
                    f"{self.path} stayed locked for {self._busy_seconds:g} s: end the program that holds it, or retry"
                )
            case sqlite3.SQLITE_READONLY:
                return Unavailable(f"{self.path} is read-only: make the file and its folder writable")
            case sqlite3.SQLITE_FULL:
                return Unavailable(f"the disk of {self.path} is full, nothing was written: free some space and retry")
            case sqlite3.SQLITE_CANTOPEN:
                return Unavailable(f"{self.path} cannot be opened: check that you may read and write it and its folder")
            case sqlite3.SQLITE_CORRUPT:
                return NotOurs(f"{self.path} is damaged ({error}): restore it from a backup, then `sagaledger verify`")
            case _:
                return Unavailable(f"{self.path} cannot be used: {error}")


def _primary_code(error: sqlite3.Error) -> int | None:
    code: Any = getattr(error, "sqlite_errorcode", None)
    return code & 0xFF if code is not None else None


def _split(script: str) -> Iterator[str]:
    """The statements of a script, one by one: `executescript` would commit the transaction that they belong to."""
    statement = ""
    for line in script.splitlines(keepends=True):
        statement += line
        if sqlite3.complete_statement(statement):
            yield statement
            statement = ""
