"""A store of the `eventsourcing` library's own recorders, as it is read to be taken over into a ledger.

It is only read, a page at a time, so that its application can go on writing to it.
"""

from __future__ import annotations

import re
import sqlite3
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any, Final, Literal, NamedTuple, TypeAlias
from uuid import UUID

import psycopg
from sqlalchemy import Connection, Engine, QueuePool, Select, Text, column, create_engine, inspect, select
from sqlalchemy import table as table_of
from sqlalchemy import tuple_ as row_of
from sqlalchemy.exc import DBAPIError, SQLAlchemyError
from sqlalchemy.sql import func, literal_column
from sqlalchemy.sql.expression import ColumnClause

from ...domain.errors import InvalidInput
from ..errors import Unavailable
from ..event_store.database_url import postgres_url, sqlite_url, unknown, without_schema
from ..event_store.postgres import connection as postgres
from ..event_store.postgres.connection import PostgresConnection
from ..event_store.redaction import redacted
from ..event_store.sqlite import connection as sqlite
from ..event_store.sqlite.ledger_file import LedgerFile

OriginatorIds: TypeAlias = Literal["uuid", "text"]
"""What the application's aggregates are called by."""
_COLUMNS: Final = frozenset({"originator_id", "originator_version", "topic", "state"})
_SNAPSHOTS: Final = re.compile(r"snapshots?$", re.IGNORECASE)
_NOT_HEX: Final = "*[^0-9a-f]*"
_UUID_DIGITS: Final = 32


class SourceEvent(NamedTuple):
    """An event of the source."""

    notification_id: int | None
    """None in a table of aggregates alone, which has no notifications."""
    stream_id: str
    version: int
    topic: str
    state: bytes

    @property
    def place(self) -> str:
        """Return where it stands, for a message."""
        notification = "" if self.notification_id is None else f", notification {self.notification_id}"
        return f"aggregate {self.stream_id!r} version {self.version}{notification}"


class EventSource:
    """The events of one table of a SQLite file or a PostgreSQL database.

    `table_name`: `TABLE` or `SCHEMA.TABLE`; without one, the only table of the database that has such events.
    `ids`: what aggregates are called by; without one, a SQLite file whose ids all are 32 hexadecimal digits has UUIDs.
    Raises `InvalidInput` for a database without such a table, `Unavailable` for one that cannot be read.
    """

    def __init__(self, url: str, table_name: str | None = None, ids: OriginatorIds | None = None) -> None:
        self.shown_url = redacted(url)
        self._engine, file_name, self._schema = _engine_of(url)
        try:
            with self._connected() as connection:
                self.database_name: str = file_name or connection.execute(select(func.current_database())).scalar_one()
                self._find_table(connection, table_name)
                self._uuid_texts = self._has_uuid_texts(connection, ids)
        except BaseException:
            self.close()
            raise

    def close(self) -> None:
        """Close every connection."""
        self._engine.dispose()

    def in_order(self, after: SourceEvent | None, limit: int) -> list[SourceEvent]:
        """Return the events after one, in the order of notifications; in that of aggregates if there are none."""
        if self._notification is None:
            return self.by_aggregate(after, limit)
        query = self._select.order_by(self._notification).limit(limit)
        if after is not None and after.notification_id is not None:
            query = query.where(self._notification > after.notification_id)
        return self._fetch(query)

    def by_aggregate(self, after: SourceEvent | None, limit: int, *, upto: int | None = None) -> list[SourceEvent]:
        """Return the events after one, by aggregate and version, up to a notification if one is given."""
        key = (self._columns["originator_id"], self._columns["originator_version"])
        query = self._select.order_by(*key).limit(limit)
        if after is not None:
            query = query.where(row_of(*key) > row_of(self._stored_id(after.stream_id), after.version))
        if upto is not None and self._notification is not None:
            query = query.where(self._notification <= upto)
        return self._fetch(query)

    def count(self) -> int:
        """Return how many events there are."""
        with self._connected() as connection:
            return int(connection.execute(select(func.count()).select_from(self._table)).scalar_one())

    @property
    def _is_sqlite(self) -> bool:
        return self._engine.dialect.name == "sqlite"

    def _find_table(self, connection: Connection, wanted: str | None) -> None:
        """Find the table and what its rows have."""
        inspector = inspect(connection)
        named, _, name = (wanted or "").rpartition(".")
        schema = named or self._schema
        names = inspector.get_table_names(schema)
        found = {
            each: columns
            for each in names
            if (not name or each == name)
            and (columns := {one["name"]: one["type"] for one in inspector.get_columns(each, schema)}).keys()
            >= _COLUMNS
        }
        events = found if name else {each: columns for each, columns in found.items() if not _SNAPSHOTS.search(each)}
        if len(events) != 1:
            raise self._not_one(wanted, sorted(events))
        (self.table_name, columns), *_ = events.items()
        self._columns: dict[str, ColumnClause[Any]] = {each: column(each) for each in sorted(_COLUMNS)}
        self._table = table_of(self.table_name, *self._columns.values(), schema=schema)
        self._notification = self._notification_column(connection, columns)
        self._is_uuid_column = not self._is_sqlite and not isinstance(columns["originator_id"], Text)
        notification = literal_column("NULL") if self._notification is None else self._notification
        order = ("originator_id", "originator_version", "topic", "state")
        self._select: Select[Any] = select(notification, *(self._columns[each] for each in order)).select_from(
            self._table
        )

    def _notification_column(self, connection: Connection, columns: dict[str, Any]) -> ColumnClause[Any] | None:
        if not self._is_sqlite:
            return column("notification_id") if "notification_id" in columns else None
        master = table_of("sqlite_master", column("name"), column("sql"))
        sql = str(connection.execute(select(master.c.sql).where(master.c.name == self.table_name)).scalar_one())
        return None if "WITHOUT ROWID" in sql.upper() else literal_column("rowid")

    def _has_uuid_texts(self, connection: Connection, ids: OriginatorIds | None) -> bool:
        """Whether ids are texts of 32 hexadecimal digits that stand for UUIDs, as the library's SQLite has them."""
        if not self._is_sqlite or ids is not None:
            return self._is_sqlite and ids == "uuid"
        id_ = self._columns["originator_id"]
        other = (func.length(id_) != _UUID_DIGITS) | id_.op("GLOB")(_NOT_HEX)
        return connection.execute(select(id_).where(other).limit(1)).first() is None

    def _stored_id(self, stream_id: str) -> Any:
        """Return the id of an aggregate as its table has it."""
        if self._is_uuid_column:
            return UUID(stream_id)
        return UUID(stream_id).hex if self._uuid_texts else stream_id

    def _fetch(self, query: Select[Any]) -> list[SourceEvent]:
        with self._connected() as connection:
            rows: Sequence[Any] = connection.execute(query).all()
        return [self._event(*row) for row in rows]

    def _event(self, notification_id: int | None, id_: Any, version: Any, topic: Any, state: Any) -> SourceEvent:
        """Return a row as an event. Raises `InvalidInput` for one that the library's recorders do not write."""
        event = SourceEvent(notification_id, self._stream_id(id_), version, topic, state)
        for name, value, type_ in (("version", version, int), ("topic", topic, str), ("state", state, bytes)):
            if not isinstance(value, type_):
                raise InvalidInput(
                    f"{self.shown_url}, {event.place}: its {name} is of type {type(value).__name__}, not "
                    f"{type_.__name__}, as the library's own recorders write it: such a table cannot be imported"
                )
        return event

    def _stream_id(self, id_: Any) -> str:
        try:
            return str(UUID(id_)) if self._uuid_texts else str(id_)
        except ValueError as error:
            raise InvalidInput(f"{self.shown_url}: the id {str(id_)[:60]!r} is no UUID: use --ids text") from error

    @contextmanager
    def _connected(self) -> Iterator[Connection]:
        try:
            with self._engine.connect() as connection:
                yield connection
        except DBAPIError as error:
            raise Unavailable(f"{self.shown_url} cannot be read: {str(error.orig).strip()}") from error
        except (SQLAlchemyError, psycopg.Error) as error:
            raise Unavailable(f"{self.shown_url} cannot be read: {str(error).strip()}") from error

    def _not_one(self, wanted: str | None, found: list[str]) -> InvalidInput:
        if found:
            return InvalidInput(
                f"{self.shown_url} has several tables of events, {', '.join(found)}: name one with --table, and import "
                "each by itself"
            )
        what = f"no table {wanted!r}" if wanted else "no table"
        return InvalidInput(
            f"{self.shown_url} has {what} with the columns {', '.join(sorted(_COLUMNS))}, as the recorders of the "
            "eventsourcing library make it: name it with --table TABLE or --table SCHEMA.TABLE"
        )


def _engine_of(url: str) -> tuple[Engine, str, str | None]:
    """Return an engine whose connections only read and keep no transaction open.

    And the name of a SQLite file, and the schema that a URL of PostgreSQL names (`?schema=`).
    """
    if (path_url := sqlite_url(url)) is not None:
        path = LedgerFile.of_url(path_url).path
        if not path.is_file():
            raise Unavailable(f"there is no file {path}: name the SQLite file of the application")

        def open_file() -> sqlite3.Connection:
            return sqlite.connect(f"{path.as_uri()}?mode=ro", uri=True)

        return create_engine("sqlite://", creator=open_file, poolclass=QueuePool, pool_size=1), path.stem, None
    server_url = postgres_url(url)
    if server_url is None:
        raise unknown(url)
    server_url, schema = without_schema(server_url)

    def connect() -> PostgresConnection:
        connection = postgres.connect(server_url, autocommit=True)
        connection.read_only = True
        return connection

    return create_engine("postgresql+psycopg://", creator=connect, poolclass=QueuePool, pool_size=1), "", schema
