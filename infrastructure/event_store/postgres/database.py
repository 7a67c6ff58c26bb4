"""One PostgreSQL schema: its connections, its transactions, its version, and the meaning of its errors.

A ledger is in the schema that its URL names (`?schema=name`), or else in the one that `prepare_session` finds. Every
connection has that schema alone in its search path, so that statements need not name it.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from typing import Any, Final

import psycopg
from psycopg import Connection
from psycopg.pq import Conninfo

from ....domain.errors import SagaledgerError
from ...errors import DamagedLedger, NotALedger, PermanentlyUnavailable
from ..database_url import has_password_in_wrong_place, without_schema
from ..redaction import redacted
from ..schema_version import check_version
from ..sql_files import queries, schema_version
from ..stream_id import not_unicode
from .connection import PostgresConnection, connect
from .migration import migrate
from .pool import Pool
from .server_errors import explain, lost
from .session import connection_parameters, prepare_session
from .wire_format import texts

SQL: Final = queries("postgres")
OLDEST_SCHEMA: Final = 5
"""The oldest version of the schema that is used as it is. Version 6 adds the protection of the log."""
STRUCTURES_SINCE: Final = 7
"""The version of the schema from which on it has a table for the structures of definitions."""

_UNREADABLE: Final = (
    "the PostgreSQL URL cannot be read: use postgresql://user@host:port/database, and write the characters that end a "
    "password too early as their codes (@ is %40, : is %3A, / is %2F, ? is %3F, # is %23, % is %25)"
)
_UNKNOWN_PARAMETER: Final = re.compile(r'(?:query parameter|connection option)(?::)? "(\w{1,40})"')


FetchedRow = tuple[Any, ...]

_ATTEMPTS: Final = 3
"""How often a read, or the beginning of a transaction, is tried when its connection turns out to be lost."""


class PostgresDatabase:
    """A ledger's schema in a PostgreSQL database.

    Raises `NotALedger` for a schema without a ledger of this version (`create` makes or upgrades it), and `Unavailable`
    for a server that cannot be reached. No message contains the password.
    """

    def __init__(self, url: str, *, create: bool = False, connections: int) -> None:
        try:
            if has_password_in_wrong_place(url):
                raise PermanentlyUnavailable(_UNREADABLE)
            for_the_driver, self._schema = without_schema(url)
            self._conninfo = connection_parameters(for_the_driver)
        except (psycopg.Error, UnicodeError) as error:  # its message repeats the URL, and with it the password
            raise PermanentlyUnavailable(_unreadable(url, error)) from None
        self.description = _description(self._conninfo)
        self.name = redacted(url)
        self.schema_version = 0
        """The version of the schema when it was opened."""
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

    @property
    def schema(self) -> str:
        """The ledger's schema, to which the URL or the first connection led: no later one is led elsewhere."""
        if self._schema is None:
            raise NotALedger(
                f"{self.description}: the schema in the URL's search_path does not exist, or may not be used: "
                "create it, or name one with ?schema=NAME"
            )
        return self._schema

    def close(self) -> None:
        """Close every connection. The object cannot be used afterwards."""
        self._pool.close()
        self._pool_ahead.close()

    def connect(self) -> PostgresConnection:
        """Return a new connection in autocommit, with the session settings that a ledger relies on.

        Raises `Unavailable`.
        """
        with self.explained():
            connection = connect(self._conninfo, autocommit=True)
            try:
                self._schema = prepare_session(connection, schema=self._schema, place=self.description)
            except BaseException:
                connection.close()
                raise
            return connection

    def fetch(self, name: str, parameters: Any = ()) -> list[FetchedRow]:
        """Return the rows of a named statement that only reads."""
        for attempt in range(1, _ATTEMPTS + 1):
            try:
                with self._borrowed() as connection, connection.for_one_statement():
                    return self._rows(connection.execute(SQL[name], parameters, binary=True))
            except psycopg.Error as error:
                if attempt == _ATTEMPTS or not lost(error):
                    raise self.explain(error) from error
            except UnicodeEncodeError as error:
                raise not_unicode(error, self.description) from error
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
                if failures == _ATTEMPTS or not lost(error):
                    raise self.explain(error) from error
        if columns:
            yield rows

    @contextmanager
    def transaction(self) -> Iterator[Connection[FetchedRow]]:
        """A transaction of several statements, committed when the block ends, rolled back when it raises."""
        with self.explained():
            connection, ending = self._begin()
            with ending:
                yield connection

    def _begin(self) -> tuple[PostgresConnection, ExitStack]:
        """Begin a transaction: nothing was sent yet, so a lost connection is replaced by another one."""
        for attempt in range(1, _ATTEMPTS + 1):
            try:
                with ExitStack() as stack:
                    connection = stack.enter_context(self._borrowed())
                    stack.enter_context(connection.begun())
                    return connection, stack.pop_all()
            except psycopg.Error as error:
                if attempt == _ATTEMPTS or not lost(error):
                    raise
        raise AssertionError("unreachable: the last attempt returns or raises")

    @contextmanager
    def explained(self) -> Iterator[None]:
        """Translate PostgreSQL's errors into ours, which name the database and the remedy."""
        try:
            yield
        except psycopg.Error as error:
            raise self.explain(error) from error
        except UnicodeEncodeError as error:
            raise not_unicode(error, self.description) from error

    @contextmanager
    def _borrowed(self, pool: Pool | None = None) -> Iterator[PostgresConnection]:
        pool = pool or self._pool
        connection = pool.borrow()
        try:
            yield connection
        except psycopg.Error as error:
            if lost(error):
                connection.close()  # it may look alive until the server's farewell is read to its end
            raise
        finally:
            pool.give_back(connection)

    def _rows(self, cursor: psycopg.Cursor[FetchedRow]) -> list[FetchedRow]:
        try:
            return cursor.fetchall()
        except psycopg.DataError as error:  # the server has a value that Python has not, such as a time of infinity
            raise DamagedLedger(f"a value in {self.description} cannot be read: {error}") from error

    def _check(self) -> None:
        newest = schema_version("postgres")
        self.schema_version = self._stored_version()
        place = f"schema {self._schema!r} of {self.description}" if self._schema else self.description
        check_version(self.schema_version, newest, oldest=OLDEST_SCHEMA, database=place, url=self.name)

    def _stored_version(self) -> int:
        with self._borrowed():
            pass  # the first connection finds the schema
        if not self.fetch("has_schema_version", (self._schema,)):
            return 0
        if self.fetch("may_use_schema", (self._schema,)) == [(False,)]:
            raise PermanentlyUnavailable(
                f"{self.description} refuses: the role of the URL may not use schema {self._schema!r}, which has a "
                "ledger: let it be a member of a role that may (`sagaledger init --roles`)"
            )
        ((version,),) = self.fetch("schema_version")
        return int(version)

    def _migrate(self) -> None:
        with self.transaction() as connection:
            migrate(connection, self.schema, self.description)

    def explain(self, error: psycopg.Error) -> SagaledgerError:
        """Return the error of ours that an error of PostgreSQL means."""
        return explain(error, place=self.description, url=self.name)


@contextmanager
def closing_if_left_early(connection: PostgresConnection) -> Iterator[None]:
    """Close a connection when the block is left early, because a reply may still be on its way."""
    try:
        yield
    except BaseException:
        connection.close()
        raise


def _unreadable(url: str, error: Exception) -> str:
    """Return what is wrong with a URL. A parameter is named unless it may be a part of a password."""
    unknown = _UNKNOWN_PARAMETER.search(str(error))
    if unknown is None or "@" in url.partition("?")[2]:
        return _UNREADABLE
    return (
        f"the PostgreSQL URL has the parameter {unknown[1]!r}, which libpq does not know: it takes libpq's, such as "
        "sslmode, options and application_name"
    )


def _description(conninfo: str) -> str:
    """Return how messages name the database: by what the URL says, and what the environment adds to it."""
    defaults = {option.keyword: option.val for option in Conninfo.get_defaults()}
    given = {option.keyword: option.val for option in Conninfo.parse(conninfo.encode())}
    service = given.get(b"service")
    if service:  # its file says the rest, and libpq alone reads it
        named = given.get(b"dbname")
        return (f"database {_text(named)!r} of " if named else "the database of ") + f"service {_text(service)!r}"
    found = {keyword: value or defaults[keyword] for keyword, value in given.items()}
    host, port = (_text(found[name]) for name in (b"host", b"port"))
    database = _text(found[b"dbname"]) or _text(found[b"user"])
    return f"database {database!r} at {host or _text(found[b'hostaddr']) or 'localhost'}" + (
        f" (port {port})" if port != "5432" else ""
    )


def _text(value: bytes | None) -> str:
    return (value or b"").decode("utf-8", "replace")
