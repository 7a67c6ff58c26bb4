"""A view's table in one database: reads the rows of many keys in one statement, and writes a batch's changes in two.

Keys, and on PostgreSQL rows, are sent as one JSON text that the database takes apart. That way the text of a statement
does not depend on the number of rows, and the database plans it once. (The driver's arrays, which are made in Python,
would cost a third of the whole fold.)
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from functools import cached_property
from typing import TYPE_CHECKING, Any

import msgspec
from sqlalchemy import (
    JSON,
    Column,
    ColumnElement,
    Connection,
    Dialect,
    Select,
    Table,
    Text,
    bindparam,
    cast,
    delete,
    func,
    select,
    tuple_,
)
from sqlalchemy.dialects import sqlite
from sqlalchemy.sql.dml import Insert

from ...projections.column_types import UtcDateTime
from ...projections.column_values import holds_json, rule_of
from ...projections.keys import Key, RowsWhere
from ...projections.projection import Change, Row
from .readable import readable

if TYPE_CHECKING:
    from sqlalchemy.dialects.postgresql import Insert as PostgresInsert

KEYS_MAX = 5_000
"""The most keys that one statement carries."""
ROWS_MAX = 2_000
"""The most rows that one statement carries; a row may be wide."""


class RowStore:
    """Reads and writes the rows of a view by key."""

    def __init__(self, table: Table, dialect: Dialect) -> None:
        self.table = table
        self.name = table.name
        self.columns = tuple(column.name for column in table.columns)
        self._key = tuple(table.primary_key.columns)
        self._key_at = tuple(self.columns.index(column.name) for column in self._key)
        self._as_json = dialect.name == "postgresql"
        self._rules = [rule for rule in map(rule_of, table.columns) if rule is not None]
        self._processors = _processors(table, dialect)
        self._select = select(table).where(self._among(self._key))
        self._delete = delete(table).where(self._among(self._key))

    def load(self, connection: Connection, keys: Iterable[Key]) -> dict[Key, Row]:
        """Return the rows that these keys have, by key. Raises `DamagedLedger` for one that cannot be read."""
        rows: dict[Key, Row] = {}
        for chunk in _chunks(list(keys), KEYS_MAX):
            rows |= self._found(connection, self._select, self._key, chunk)
        return rows

    def load_where(self, connection: Connection, wanted: Iterable[RowsWhere]) -> dict[Key, Row]:
        """Return the rows that these mean, by key. Raises as `load` does."""
        by_column: dict[str, list[Key]] = {}
        for each in wanted:
            by_column.setdefault(each.column, []).append((each.first, each.value))
        rows: dict[Key, Row] = {}
        for name, values in by_column.items():
            columns = (self._key[0], self.table.columns[name])
            statement = select(self.table).where(self._among(columns))
            for chunk in _chunks(values, KEYS_MAX):
                rows |= self._found(connection, statement, columns, chunk)
        return rows

    def _found(
        self, connection: Connection, statement: Select[Any], columns: Sequence[Column[Any]], wanted: Sequence[Key]
    ) -> dict[Key, Row]:
        with readable(f"view {self.table.name}"):
            found = connection.execute(statement, self._parameters(columns, wanted)).all()
        return {
            tuple([values[at] for at in self._key_at]): dict(zip(self.columns, values, strict=True)) for values in found
        }

    def write(self, connection: Connection, change: Change) -> None:
        """Write the changes of a batch: each changed row whole, whether it is new or not.

        Raises `TypeError` or `ValueError` for a value that does not fit its column.
        """
        for rows in _chunks(change.written, ROWS_MAX):
            if self._as_json:
                connection.execute(self._upsert_json, {"rows": msgspec.json.encode(self._stored(rows)).decode()})
            else:  # tuples for the driver: if SQLAlchemy made them, that would take as long as the writing
                values = [tuple(row.values()) for row in self._stored(rows)]
                connection.exec_driver_sql(self._upsert_each, values)
        for keys in _chunks(change.deleted, KEYS_MAX):
            connection.execute(self._delete, self._parameters(self._key, keys))

    def _stored(self, rows: list[Row]) -> list[Row]:
        """Return rows whose values are what the database takes, in the order of the columns."""
        try:
            stored = [{name: row[name] for name in self.columns} for row in rows]
        except KeyError as error:
            raise ValueError(f"the row has no column {error}, which its view has") from error
        for rule in self._rules:
            name = rule.column
            if not rule.fits_all([row[name] for row in stored]):
                for row in stored:
                    row[name] = None if row[name] is None else rule.convert(row[name])
        for name, process, cacheable in self._processors:
            values = _Processed(process) if cacheable else None
            for row in stored:
                row[name] = process(row[name]) if values is None else values[row[name]]
        return stored

    def _parameters(self, columns: Sequence[Column[Any]], wanted: Sequence[Key]) -> dict[str, Any]:
        names = [column.name for column in columns]
        named = [dict(zip(names, values, strict=True)) for values in wanted] if self._as_json else wanted
        return {"keys": msgspec.json.encode(named).decode()}

    def _among(self, columns: Sequence[Column[Any]]) -> ColumnElement[bool]:
        """Return the condition that these columns have the values of one of the keys that are sent."""
        if self._as_json:
            wanted = _recordset("keys", columns)
        else:
            each = func.json_each(bindparam("keys")).table_valued("value", name="wanted")
            wanted = select(*(func.json_extract(each.c.value, f"$[{at}]") for at in range(len(columns))))
        return (tuple_(*columns) if len(columns) > 1 else columns[0]).in_(wanted)

    @cached_property
    def _upsert_each(self) -> str:
        return str(self._overwriting(sqlite.insert(self.table)).compile(dialect=sqlite.dialect()))

    @cached_property
    def _upsert_json(self) -> Insert:
        from sqlalchemy.dialects import postgresql  # noqa: PLC0415 -- slow to import, and no use on SQLite

        rows = _recordset("rows", tuple(self.table.columns))
        return self._overwriting(postgresql.insert(self.table).from_select(self.columns, rows))

    def _overwriting(self, rows: PostgresInsert | sqlite.Insert) -> Insert:
        """Return an insert that overwrites every column of a row that exists already."""
        values = {c.name: rows.excluded[c.name] for c in self.table.columns if not c.primary_key}
        if not values:
            return rows.on_conflict_do_nothing(index_elements=list(self._key))
        return rows.on_conflict_do_update(index_elements=list(self._key), set_=values)


class _Processed(dict[Any, Any]):
    """Caches what the database takes for a value; a column of times often repeats one."""

    def __init__(self, process: Callable[[Any], Any]) -> None:
        super().__init__()
        self._process = process

    def __missing__(self, value: Any) -> Any:
        processed = self[value] = self._process(value)
        return processed


def _recordset(parameter: str, columns: Sequence[Column[Any]]) -> Select[Any]:
    """Return the rows of a JSON parameter; each value is read as text, and cast to its column's type."""
    json = cast(bindparam(parameter, type_=Text), JSON)
    texts = func.json_to_recordset(json).table_valued(*(Column(column.name, Text) for column in columns), name="sent")
    sent = texts.render_derived(with_types=True)
    return select(*(cast(sent.c[column.name], column.type) for column in columns))


def _processors(table: Table, dialect: Dialect) -> list[tuple[str, Callable[[Any], Any], bool]]:
    """Return the columns whose values must be converted: name, conversion, and whether its results are cacheable.

    Equal values of our own types are interchangeable, which cannot be said of every type. JSON is sent as text, as
    SQLite has it: PostgreSQL's driver would want an object of its own.
    """
    text = sqlite.dialect()
    dialects = ((column, text if holds_json(column) else dialect) for column in table.columns)
    found = ((column, column.type.dialect_impl(each).bind_processor(each)) for column, each in dialects)
    return [
        (column.name, processor, isinstance(column.type, UtcDateTime))
        for column, processor in found
        if processor is not None
    ]


def _chunks(items: list[Any], size: int) -> Iterable[list[Any]]:
    return (items[at : at + size] for at in range(0, len(items), size))
