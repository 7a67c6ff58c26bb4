"""One PostgreSQL schema: its connections, its transactions, its version, and the meaning of its errors.

A ledger is in the current schema of its connections, so that a tenant can have a schema of its own:
`?options=-csearch_path%3Dname`.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any, Final

import psycopg
from psycopg import Connection
from psycopg.conninfo import conninfo_to_dict, make_conninfo

from ....domain.errors import InvalidInput, SagaledgerError
from ...errors import DamagedLedger, NotALedger, Unavailable
from ..schema_version import check_version
from ..sql_files import migrations, queries, schema_version
from .connection import PostgresConnection, connect
from .pool import Pool
from .wire_format import texts

SQL: Final = queries("postgres")
OLDEST_SCHEMA: Final = 5
"""The oldest version of the schema that is used as it is. Version 6 adds the protection of the log."""

FetchedRow = tuple[Any, ...]

_DEFAULTS: Final = {
    # The loss of a server that no longer answers is noticed within seconds, not hours.
    "connect_timeout": "10",
    "keepalives_idle": "10",
    "keepalives_interval": "5",
    "keepalives_count": "3",
    "tcp_user_timeout": "30000",
    "fallback_application_name": "sagaledger",
}
_SESSION: Final = (
    "SELECT set_config('timezone', 'UTC', false), "
    "set_config('synchronous_commit', 'on', false), "
    "set_config('lock_timeout', '10s', false)"
)
_PASSWORD: Final = re.compile(r"(://[^:@/]*:)[^@/]*(?=@)|([?&](?:ssl)?password=)[^&]*")
_READ_ATTEMPTS: Final = 3
"""A read whose connection is lost is repeated on another one."""


class PostgresDatabase:
    """A ledger's schema in a PostgreSQL database.

    Raises `NotALedger` for a schema without a ledger of this version (`create` makes or upgrades it), and `Unavailable`
    for a server that cannot be reached. No message contains the password.
    """

    def __init__(self, url: str, *, create: bool = False, connections: int) -> None:
        try:
            given = conninfo_to_dict(url)
        except psycopg.Error:  # its message repeats the URL, and with it the password
            raise Unavailable("the PostgreSQL URL cannot be read: use postgresql://user@host:port/database") from None
        self._conninfo = make_conninfo(url, **{key: value for key, value in _DEFAULTS.items() if key not in given})
        self.description = f"database {given.get('dbname', '')!r} at {given.get('host', 'localhost')}"
        self.name = _PASSWORD.sub(r"\1\2***", url)
        self._pool = Pool(self.connect, connections_max=connections)
        self._pool_ahead = Pool(self.connect, connections_max=connections)
        """For `fetch_ahead`, which keeps its connection while the caller works on a part."""
        try:
            if create:
                self._migrate()
            self._check()
        except BaseException:
            self.close()
            raise

    def close(self) -> None:
        """Close every connection. The object cannot be used afterwards."""
        self._pool.close()
        self._pool_ahead.close()

    def connect(self) -> PostgresConnection:
        """Return a new connection in autocommit. Raises `Unavailable`."""
        with self.explained():
            connection = connect(self._conninfo, autocommit=True)
            connection.execute(_SESSION)
            return connection

    def fetch(self, name: str, parameters: Any = ()) -> list[FetchedRow]:
        """Return the rows of a named statement that only reads."""
        for attempt in range(1, _READ_ATTEMPTS + 1):
            try:
                with self._borrowed() as connection:
                    return self._rows(connection.execute(SQL[name], parameters, binary=True))
            except psycopg.Error as error:
                if attempt == _READ_ATTEMPTS or not lost(error):
                    raise self.explain(error) from error
        raise AssertionError("unreachable: the last attempt returns or raises")

    def fetch_ahead(self, name: str, columns: Sequence[Sequence[str]]) -> Iterator[list[FetchedRow]]:
        """Yield the rows of a named statement that only reads, for each `text[]`, while the server reads the next."""
        rows: list[FetchedRow] = []
        done = failures = 0
        while done < len(columns):
            try:
                with self._borrowed(self._pool_ahead) as connection, closing_if_left_early(connection):
                    connection.send(SQL[name], [texts(columns[done])])
                    while True:
                        rows = connection.receive_rows()
                        if done + 1 == len(columns):
                            break
                        connection.send(SQL[name], [texts(columns[done + 1])])
                        done += 1
                        failures = 0
                        yield rows
                    done += 1
            except psycopg.Error as error:
                failures += 1
                if failures == _READ_ATTEMPTS or not lost(error):
                    raise self.explain(error) from error
        if columns:
            yield rows

    @contextmanager
    def transaction(self) -> Iterator[Connection[FetchedRow]]:
        """A transaction of several statements, committed when the block ends, rolled back when it raises."""
        with self.explained(), self._borrowed() as connection, connection.transaction():
            yield connection

    @contextmanager
    def explained(self) -> Iterator[None]:
        """Translate PostgreSQL's errors into ours, which name the database and the remedy."""
        try:
            yield
        except psycopg.Error as error:
            raise self.explain(error) from error

    @contextmanager
    def _borrowed(self, pool: Pool | None = None) -> Iterator[PostgresConnection]:
        pool = pool or self._pool
        connection = pool.borrow()
        try:
            yield connection
        finally:
            pool.give_back(connection)

    def _rows(self, cursor: psycopg.Cursor[FetchedRow]) -> list[FetchedRow]:
        try:
            return cursor.fetchall()
        except psycopg.DataError as error:  # the server has a value that Python has not, such as a time of infinity
            raise DamagedLedger(f"a value in {self.description} cannot be read: {error}") from error

    def _check(self) -> None:
        newest = schema_version("postgres")
        check_version(self._stored_version(), newest, oldest=OLDEST_SCHEMA, database=self.description, url=self.name)

    def _stored_version(self) -> int:
        if not self.fetch("has_schema_version"):
            return 0
        ((version,),) = self.fetch("schema_version")
        return int(version)

    def _migrate(self) -> None:
        with self.transaction() as connection:
            ((schema,),) = connection.execute(SQL["current_schema"]).fetchall()
            if schema is None:
                raise NotALedger(f"{self.description}: the schema in the URL's search_path does not exist: create it")
            connection.execute(SQL["lock_migrations"])
            tables = [name for (name,) in connection.execute(SQL["table_names"])]
            if tables and "sagaledger_schema" not in tables:
                raise NotALedger(
                    f"schema {schema!r} of {self.description} holds tables of another program "
                    f"({', '.join(tables[:3])}): give the ledger a schema of its own (CREATE SCHEMA ledger) and add "
                    "?options=-csearch_path%3Dledger"
                )
            connection.execute(SQL["create_schema_version"])
            ((stored,),) = connection.execute(SQL["schema_version"]).fetchall()
            for migration in migrations("postgres"):
                if migration.version > stored:
                    connection.execute(migration.sql)
                    connection.execute(SQL["insert_schema_version"], (migration.version,))

    def explain(self, error: psycopg.Error) -> SagaledgerError:
        """Return the error of ours that an error of PostgreSQL means."""
        detail = str(error).strip().splitlines()[0] if str(error).strip() else type(error).__name__
        if isinstance(error, psycopg.IntegrityError):
            return DamagedLedger(f"{self.description} refuses what was to be written: {detail}")
        if isinstance(error, psycopg.DataError):
            return InvalidInput(f"a value cannot be stored in {self.description}: {detail}")
        match error.sqlstate:
            case None:
                return Unavailable(f"{self.description} cannot be reached ({detail}): check the server and the URL")
            case "25006":
                return Unavailable(f"{self.description} is read-only: use the primary server")
            case "55P03" | "40P01" | "40001" | "57014":
                return Unavailable(f"{self.description} stayed locked by another program ({detail}): retry")
            case "53100":
                return Unavailable(
                    f"the disk of {self.description} is full, nothing was written: free some space and retry"
                )
            case "42P01" | "42883" | "42703":
                return NotALedger(
                    f"{self.description} lost a part of its schema ({detail}): `sagaledger init --db {self.name}`"
                )
            case _:
                return Unavailable(f"{self.description} cannot be used: {detail}")


@contextmanager
def closing_if_left_early(connection: PostgresConnection) -> Iterator[None]:
    """Close a connection when the block is left early, because a reply may still be on its way."""
    try:
        yield
    except BaseException:
        connection.close()
        raise


def lost(error: psycopg.Error) -> bool:
    """Return whether an error means that the connection is lost, and the reply with it."""
    if not isinstance(error, psycopg.OperationalError | psycopg.InterfaceError):
        return False
    return error.sqlstate is None or error.sqlstate.startswith(("08", "57P"))
