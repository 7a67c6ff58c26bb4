"""One SQLite file: its connections, its write transaction, its schema, and the meaning of its errors.

It is in write-ahead mode with `synchronous=FULL`, so that what is committed survives a power cut. Any process may
write, one at a time; any thread may use this object.
"""

from __future__ import annotations

import sqlite3
import time
from collections import deque
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from threading import Lock
from typing import Any, Final
from uuid import UUID

from ....domain.errors import InvalidInput, SagaledgerError
from ...errors import DamagedLedger, NotALedger, OutcomeUnknown, PermanentlyUnavailable, Unavailable
from ..forking import leave_to_parent, on_fork
from ..schema_version import check_version
from ..sql_files import migrations, queries, schema_version
from ..stream_id import not_unicode
from .clock import microseconds_now
from .ledger_file import LedgerFile
from .quiescence import using_sqlite, was_at_rest

BUSY_SECONDS: Final = 10.0
"""How long a writer waits for the other writers of the file before it raises `Unavailable`."""
_RETRY_SECONDS: Final = (
    0.001  # SQLite's own back-off sleeps ever longer, so that a busy file starves the waiting writer
)

_OUTAGES: Final = (sqlite3.SQLITE_IOERR, sqlite3.SQLITE_PROTOCOL, sqlite3.SQLITE_NOMEM, sqlite3.SQLITE_INTERRUPT, None)
"""What may pass by itself: the disk, the locks of others, memory."""

SQL: Final = queries("sqlite")
OLDEST_SCHEMA: Final = 2
"""The oldest version of the schema that is used as it is. Version 3 adds the protection of the log."""
STRUCTURES_SINCE: Final = 4
"""The version of the schema from which on it has a table for the structures of definitions."""


class SqliteDatabase:
    """A ledger's file. An absent or empty one becomes a ledger unless it must exist; `create` upgrades an older one.

    Raises `NotALedger` for a file that holds something else or another version of the schema, and `Unavailable` for
    one that cannot be opened.
    """

    def __init__(
        self,
        file: LedgerFile,
        *,
        url: str,
        create: bool = False,
        must_exist: bool = False,
        busy_seconds: float = BUSY_SECONDS,
    ) -> None:
        self.url = url
        self.file = file
        self.path = file.path
        self._must_exist = must_exist or file.read_only
        self._busy_seconds = busy_seconds
        self._idle: deque[sqlite3.Connection] = deque()
        self._writer: sqlite3.Connection | None = None
        self._writing = Lock()
        self._closed = False
        self.schema_version = 0
        """The version of the schema when the file was opened."""
        file.check_path()
        if self._must_exist and not self.path.exists():
            raise self._no_ledger()
        with using_sqlite(), self.explained():
            self._open(create=create)
        on_fork(self)

    def close(self) -> None:
        """Close every connection; the object is of no use afterwards."""
        with self._writing:
            self._closed = True
            self._close_connections()

    def after_fork(self) -> None:
        """Close the parent's connections, which were at rest, and open others when they are needed.

        That SQLite has them on record would have it believe that this process has their locks.
        """
        self._writing = Lock()
        if was_at_rest():
            self._close_connections()
        else:
            leave_to_parent(self._writer, *self._idle)

    def _close_connections(self) -> None:
        if self._writer is not None:
            self._writer.close()
            self._writer = None
        while self._idle:
            self._idle.popleft().close()

    @contextmanager
    def reading(self) -> Iterator[sqlite3.Connection]:
        """Lend a connection for reading. Threads that read at the same time get different ones."""
        with using_sqlite(), self.explained():
            connection = self._idle.pop() if self._idle else self._connect_reader()
            try:
                yield connection
            finally:
                if self._closed or self.file.read_only:  # how to read a read-only file depends on who else has it open
                    connection.close()
                else:
                    self._idle.append(connection)

    @contextmanager
    def writing(self, append_id: UUID | None = None) -> Iterator[sqlite3.Connection]:
        """A write transaction: committed when the block ends, rolled back when it raises.

        Raises `OutcomeUnknown` for the append with this id if the disk fails while the transaction commits.
        """
        self.file.refuse_writing()
        with self._writing, using_sqlite(), self.explained():
            writer = self._writer = self._writer or self._connect_writer()
            self._retry_busy(lambda: writer.execute("BEGIN IMMEDIATE"))
            try:
                yield writer
            except BaseException:
                _rollback(writer)
                raise
            self._commit(writer, append_id)

    @contextmanager
    def explained(self) -> Iterator[None]:
        """Translate SQLite's errors into ours, which name the file and the remedy."""
        try:
            yield
        except sqlite3.Error as error:
            raise self._explain(error) from error
        except UnicodeEncodeError as error:
            raise not_unicode(error, str(self.path)) from error

    def _retry_busy(self, attempt: Callable[[], object]) -> None:
        deadline = time.monotonic() + self._busy_seconds
        while True:
            try:
                attempt()
            except sqlite3.OperationalError as error:
                if _primary_code(error) != sqlite3.SQLITE_BUSY or time.monotonic() >= deadline:
                    raise
                time.sleep(_RETRY_SECONDS)
            else:
                return

    def _commit(self, writer: sqlite3.Connection, append_id: UUID | None) -> None:
        try:
            writer.execute("COMMIT")
        except sqlite3.Error as error:
            _rollback(writer)
            if append_id is not None and _primary_code(error) == sqlite3.SQLITE_IOERR:
                # Whether a crash would now recover the transaction depends on what reached the disk.
                raise OutcomeUnknown(str(append_id), f"{self.path}: {error}") from error
            raise

    def _no_ledger(self) -> Unavailable:
        return Unavailable(
            f"there is no ledger in {self.path}: `sagaledger init --db {self.url}` creates one, "
            "or name another file with --db"
        )

    def _open(self, *, create: bool) -> None:
        """Create or check the schema; a file that may be written to keeps the connection that did."""
        if not self._must_exist:
            self.file.create()
        connection = self.file.connect(timeout_seconds=self._busy_seconds, create=not self._must_exist)
        try:
            self._ensure_schema(connection, create=create)
            if not self.file.read_only:
                self._writer = _prepared_to_write(connection)
        finally:
            if self._writer is None:
                connection.close()

    def _connect_reader(self) -> sqlite3.Connection:
        connection = self.file.connect(timeout_seconds=self._busy_seconds)
        connection.execute("PRAGMA query_only = ON")
        return connection

    def _connect_writer(self) -> sqlite3.Connection:
        return _prepared_to_write(self.file.connect(timeout_seconds=self._busy_seconds))

    def _ensure_schema(self, connection: sqlite3.Connection, *, create: bool) -> None:
        newest = schema_version("sqlite")
        stored = _stored_version(connection)
        if stored == 0:
            self._refuse_foreign_tables(connection)
            if self.file.is_open_elsewhere:  # what the ledger has may be in the log of the other name
                self.file.refuse_writing()
            if self._must_exist:
                raise self._no_ledger()
            self._retry_busy(lambda: connection.execute("PRAGMA journal_mode = WAL"))
        if stored == 0 or (stored < newest and create):
            self.file.refuse_writing()
            connection.execute("BEGIN IMMEDIATE")
            try:
                _migrate(connection)
                connection.execute("COMMIT")
            except BaseException:
                connection.execute("ROLLBACK")
                raise
        self.schema_version = _stored_version(connection)
        check_version(self.schema_version, newest, oldest=OLDEST_SCHEMA, database=str(self.path), url=self.url)

    def _refuse_foreign_tables(self, connection: sqlite3.Connection) -> None:
        tables = [name for (name,) in connection.execute(SQL["table_names"])]
        if tables and "sagaledger_schema" not in tables:
            raise NotALedger(
                f"{self.path} is the database of another program (it has the tables {', '.join(tables[:3])}): "
                "give the ledger a file of its own"
            )

    def _explain(self, error: sqlite3.Error) -> SagaledgerError:
        match _primary_code(error):
            case sqlite3.SQLITE_NOTADB:
                return NotALedger(f"{self.path} is not a SQLite database: name another file")
            case sqlite3.SQLITE_BUSY | sqlite3.SQLITE_LOCKED:
                return Unavailable(
                    f"{self.path} stayed locked for {self._busy_seconds:g} s: end the program that holds it, or retry"
                )
            case sqlite3.SQLITE_READONLY:
                return PermanentlyUnavailable(f"{self.path} is read-only: make the file and its folder writable")
            case sqlite3.SQLITE_FULL:
                return Unavailable(f"the disk of {self.path} is full, nothing was written: free some space and retry")
            case sqlite3.SQLITE_CANTOPEN:
                return Unavailable(f"{self.path} cannot be opened: check that you may read and write it and its folder")
            case sqlite3.SQLITE_CORRUPT:
                return NotALedger(
                    f"{self.path} is damaged ({error}): restore it from a backup, then `sagaledger verify`"
                )
            case sqlite3.SQLITE_CONSTRAINT:
                return DamagedLedger(f"{self.path} refuses what was to be written: {error}")
            case sqlite3.SQLITE_ERROR if str(error).startswith("no such "):
                return NotALedger(f"{self.path} lost a part of its schema ({error}): restore it from a backup")
            case sqlite3.SQLITE_TOOBIG | sqlite3.SQLITE_MISMATCH:
                return InvalidInput(f"a value cannot be stored in {self.path}: {error}")
            case None if str(error).startswith(("Error binding parameter", "Could not decode")):
                return InvalidInput(f"a value cannot be stored in {self.path}: {error}")
            case code if code in _OUTAGES:
                return Unavailable(f"{self.path} cannot be used: {error}")
            case _:
                return PermanentlyUnavailable(f"{self.path} cannot be used: {error}")


def _prepared_to_write(connection: sqlite3.Connection) -> sqlite3.Connection:
    connection.execute("PRAGMA synchronous = FULL")
    connection.execute("PRAGMA cache_size = -32768")  # KiB: writes to the index on streams are spread over all of it
    connection.execute("PRAGMA wal_autocheckpoint = 4000")  # pages: each checkpoint waits for the disk
    connection.execute("PRAGMA busy_timeout = 0")  # `_retry_busy` waits better
    return connection


def _rollback(connection: sqlite3.Connection) -> None:
    if connection.in_transaction:
        connection.execute("ROLLBACK")


def _primary_code(error: sqlite3.Error) -> int | None:
    code: Any = getattr(error, "sqlite_errorcode", None)
    return code & 0xFF if code is not None else None


def _stored_version(connection: sqlite3.Connection) -> int:
    if connection.execute(SQL["has_schema_version"]).fetchone() is None:
        return 0
    (version,) = connection.execute(SQL["schema_version"]).fetchone()
    return int(version)


def _migrate(connection: sqlite3.Connection) -> None:
    connection.execute(SQL["create_schema_version"])
    stored = _stored_version(connection)  # within the transaction: another process may have been first
    for migration in migrations("sqlite"):
        if migration.version > stored:
            for statement in _split(migration.sql):
                connection.execute(statement)
            connection.execute(SQL["insert_schema_version"], (migration.version, microseconds_now()))


def _split(script: str) -> Iterator[str]:
    """Yield the statements of a script. `executescript` would commit the transaction that they belong to."""
    statement = ""
    for line in script.splitlines(keepends=True):
        statement += line
        if sqlite3.complete_statement(statement):
            yield statement
            statement = ""
