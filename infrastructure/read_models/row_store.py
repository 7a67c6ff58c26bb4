"""A view's table in one database: reads the rows of many keys in one statement, and writes a batch's changes in two.

Keys, and on PostgreSQL rows, are sent as one JSON text that the database takes apart. That way the text of a statement
does not depend on the number of rows, and the database plans it once. (The driver's arrays, which are made in Python,
would cost a third of the whole fold.)
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from functools import cached_property
from typing import Any

import msgspec
from sqlalchemy import (
    JSON,
    Column,
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
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.sql.dml import Insert

from ...projections.column_types import UtcDateTime
from ...projections.column_values import rule_of
from ...projections.projection import Change, Key, Row

KEYS_MAX = 5_000
"""The most keys that one statement carries."""
ROWS_MAX = 2_000
"""The most rows that one statement carries; a row may be wide."""


class RowStore:
    """Reads and writes the rows of a view by key."""

    def __init__(self, table: Table, dialect: Dialect) -> None:
        self.table = table
        self.columns = tuple(column.name for column in table.columns)
        self._key = tuple(table.primary_key.columns)
        self._key_names = tuple(column.name for column in self._key)
        self._key_at = tuple(self.columns.index(column.name) for column in self._key)
        self._as_json = dialect.name == "postgresql"
        self._rules = [rule for rule in map(rule_of, table.columns) if rule is not None]
        self._processors = _processors(table, dialect)
        wanted = self._wanted()
        key = tuple_(*self._key) if len(self._key) > 1 else self._key[0]
        self._select = select(table).where(key.in_(wanted))
        self._delete = delete(table).where(key.in_(wanted))

    def load(self, connection: Connection, keys: Iterable[Key]) -> dict[Key, Row]:
        """Return the rows that these keys have, by key."""
        rows: dict[Key, Row] = {}
        for chunk in _chunks(list(keys), KEYS_MAX):
            for values in connection.execute(self._select, self._key_parameters(chunk)).all():
                rows[tuple(values[at] for at in self._key_at)] = dict(zip(self.columns, values, strict=True))
        return rows

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
            connection.execute(self._delete, self._key_parameters(keys))

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

    def _key_parameters(self, keys: Sequence[Key]) -> dict[str, Any]:
        named = [dict(zip(self._key_names, key, strict=True)) for key in keys] if self._as_json else keys
        return {"keys": msgspec.json.encode(named).decode()}

    def _wanted(self) -> Select[Any]:
        """Return a subquery of the keys that are sent."""
        if self._as_json:
            return _recordset("keys", self._key)
        each = func.json_each(bindparam("keys")).table_valued("value", name="wanted")
        return select(*(func.json_extract(each.c.value, f"$[{at}]") for at in range(len(self._key))))

    @cached_property
    def _upsert_each(self) -> str:
        return str(self._overwriting(sqlite.insert(self.table)).compile(dialect=sqlite.dialect()))

    @cached_property
    def _upsert_json(self) -> Insert:
        rows = _recordset("rows", tuple(self.table.columns))
        return self._overwriting(postgresql.insert(self.table).from_select(self.columns, rows))

    def _overwriting(self, rows: postgresql.Insert | sqlite.Insert) -> Insert:
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

    Equal values of our own types are interchangeable, which cannot be said of every type.
    """
    found = ((column, column.type.dialect_impl(dialect).bind_processor(dialect)) for column in table.columns)
    return [
        (column.name, processor, isinstance(column.type, UtcDateTime))
        for column, processor in found
        if processor is not None
    ]


def _chunks(items: list[Any], size: int) -> Iterable[list[Any]]:
    return (items[at : at + size] for at in range(0, len(items), size))
