"""A view's table in one database: the rows of many keys in one statement, a batch's changes in two.

Keys, and on PostgreSQL rows, travel as one JSON text that the database takes apart: so a statement is the same text,
planned once, for any number of rows (and the driver's arrays, made in Python, would cost a third of the whole fold).
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

from ...projections.column_types import Names, UtcDateTime
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
        self._processors = _processors(table, dialect)
        wanted = self._wanted()
        key = tuple_(*self._key) if len(self._key) > 1 else self._key[0]
        self._select = select(table).where(key.in_(wanted))
        self._delete = delete(table).where(key.in_(wanted))

    def load(self, connection: Connection, keys: Iterable[Key]) -> dict[Key, Row]:
        """The rows that exist of these keys."""
        rows: dict[Key, Row] = {}
        for chunk in _chunks(list(keys), KEYS_MAX):
            for values in connection.execute(self._select, self._key_parameters(chunk)).all():
                rows[tuple(values[at] for at in self._key_at)] = dict(zip(self.columns, values, strict=True))
        return rows

    def write(self, connection: Connection, change: Change) -> None:
        """Write what a batch left: each changed row whole, whether it is new or not."""
        for rows in _chunks(change.written, ROWS_MAX):
            if self._as_json:
                connection.execute(self._upsert_json, {"rows": msgspec.json.encode(self._stored(rows)).decode()})
            else:  # the driver is given its tuples here: SQLAlchemy's way to make them costs as much as the writing
                values = [tuple(row.values()) for row in self._stored(rows)]
                connection.exec_driver_sql(self._upsert_each, values)
        for keys in _chunks(change.deleted, KEYS_MAX):
            connection.execute(self._delete, self._key_parameters(keys))

    def _stored(self, rows: list[Row]) -> list[Row]:
        """The rows with their values as the database takes them, in the order of the columns."""
        stored = [{name: row[name] for name in self.columns} for row in rows]
        for name, process, is_ours in self._processors:
            values = _Processed(process) if is_ours else None
            for row in stored:
                row[name] = process(row[name]) if values is None else values[row[name]]
        return stored

    def _key_parameters(self, keys: Sequence[Key]) -> dict[str, Any]:
        named = [dict(zip(self._key_names, key, strict=True)) for key in keys] if self._as_json else keys
        return {"keys": msgspec.json.encode(named).decode()}

    def _wanted(self) -> Select[Any]:
        """A subquery that gives the keys asked for."""
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
        """The insert, with every column of a row that is there already overwritten."""
        values = {c.name: rows.excluded[c.name] for c in self.table.columns if not c.primary_key}
        if not values:
            return rows.on_conflict_do_nothing(index_elements=list(self._key))
        return rows.on_conflict_do_update(index_elements=list(self._key), set_=values)


class _Processed(dict[Any, Any]):
    """What a database takes for the values of a column of times or names, which often has the same ones."""

    def __init__(self, process: Callable[[Any], Any]) -> None:
        super().__init__()
        self._process = process

    def __missing__(self, value: Any) -> Any:
        processed = self[value] = self._process(value)
        return processed


def _recordset(parameter: str, columns: Sequence[Column[Any]]) -> Select[Any]:
    """The rows of a JSON parameter; each value is taken as text, and read from that as its column's type."""
    json = cast(bindparam(parameter, type_=Text), JSON)
    texts = func.json_to_recordset(json).table_valued(*(Column(column.name, Text) for column in columns), name="sent")
    sent = texts.render_derived(with_types=True)
    return select(*(cast(sent.c[column.name], column.type) for column in columns))


def _processors(table: Table, dialect: Dialect) -> list[tuple[str, Callable[[Any], Any], bool]]:
    """What turns the values of a column into those that its database takes, for the columns that need it; and whether
    equal values are one, as they are in our types."""
    found = ((column, column.type.dialect_impl(dialect).bind_processor(dialect)) for column in table.columns)
    return [
        (column.name, processor, isinstance(column.type, UtcDateTime | Names))
        for column, processor in found
        if processor is not None
    ]


def _chunks(items: list[Any], size: int) -> Iterable[list[Any]]:
    return (items[at : at + size] for at in range(0, len(items), size))
