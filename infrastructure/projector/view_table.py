"""A view's table in one database: the rows of many keys in one statement, a batch's changes in two.

Keys and rows travel as one array per column on PostgreSQL, and as one JSON array of keys on SQLite, so that a
statement is the same text, planned once, for any number of rows.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import Any

import msgspec
from sqlalchemy import Connection, Select, Table, bindparam, delete, func, select, tuple_
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.sql.dml import Insert

from ...projections.projection import Change, Key, Row

KEYS_MAX = 5_000
"""The most keys that one statement carries."""
ROWS_MAX = 2_000
"""The most rows that one statement carries; a row may be wide."""


class ViewTable:
    """Reads and writes the rows of a view by key."""

    def __init__(self, table: Table, dialect: str) -> None:
        self.table = table
        self.columns = tuple(column.name for column in table.columns)
        self._key = tuple(table.primary_key.columns)
        self._key_at = tuple(self.columns.index(column.name) for column in self._key)
        self._postgres = dialect == "postgresql"
        wanted = self._wanted()
        key = tuple_(*self._key) if len(self._key) > 1 else self._key[0]
        self._select = select(table).where(key.in_(wanted))
        self._delete = delete(table).where(key.in_(wanted))
        self._upsert = self._upsert_postgres() if self._postgres else self._upsert_sqlite()

    def load(self, connection: Connection, keys: Iterable[Key]) -> dict[Key, Row]:
        """The rows that exist of these keys."""
        rows: dict[Key, Row] = {}
        for chunk in _chunks(list(keys), KEYS_MAX):
            for values in connection.execute(self._select, self._key_parameters(chunk)):
                rows[tuple(values[at] for at in self._key_at)] = dict(zip(self.columns, values, strict=True))
        return rows

    def write(self, connection: Connection, change: Change) -> None:
        """Write what a batch left: each changed row whole, whether it is new or not."""
        for rows in _chunks(change.written, ROWS_MAX):
            if self._postgres:
                arrays = {f"p_{column}": [row[column] for row in rows] for column in self.columns}
                connection.execute(self._upsert, arrays)
            else:
                connection.execute(self._upsert, rows)
        for keys in _chunks(change.deleted, KEYS_MAX):
            connection.execute(self._delete, self._key_parameters(keys))

    def key(self, row: Row) -> Key:
        """A row's key."""
        return tuple(row[column.name] for column in self._key)

    def _key_parameters(self, keys: Sequence[Key]) -> dict[str, Any]:
        if self._postgres:
            return {f"k_{at}": [key[at] for key in keys] for at in range(len(self._key))}
        return {"keys": msgspec.json.encode(keys).decode()}

    def _wanted(self) -> Select[Any]:
        """A subquery that gives the keys asked for."""
        if self._postgres:
            arrays = [
                bindparam(f"k_{at}", type_=postgresql.ARRAY(column.type, dimensions=1))
                for at, column in enumerate(self._key)
            ]
            unnested = (
                func.unnest(*arrays)
                .table_valued(*(f"k_{at}" for at in range(len(arrays))), name="wanted")
                .render_derived()
            )
            return select(*unnested.c)
        each = func.json_each(bindparam("keys")).table_valued("value", name="wanted")
        return select(*(func.json_extract(each.c.value, f"$[{at}]") for at in range(len(self._key))))

    def _upsert_postgres(self) -> Insert:
        arrays = [
            bindparam(f"p_{column.name}", type_=postgresql.ARRAY(column.type, dimensions=1))
            for column in self.table.columns
        ]
        changed = func.unnest(*arrays).table_valued(*self.columns, name="changed").render_derived()
        rows = postgresql.insert(self.table).from_select(self.columns, select(*changed.c))
        return self._overwriting(rows)

    def _upsert_sqlite(self) -> Insert:
        return self._overwriting(sqlite.insert(self.table))

    def _overwriting(self, rows: Any) -> Insert:
        """The insert, with every column of a row that is there already overwritten."""
        values = {c.name: rows.excluded[c.name] for c in self.table.columns if not c.primary_key}
        overwriting: Callable[..., Insert] = rows.on_conflict_do_update if values else rows.on_conflict_do_nothing
        if values:
            return overwriting(index_elements=list(self._key), set_=values)
        return overwriting(index_elements=list(self._key))


def _chunks(items: list[Any], size: int) -> Iterable[list[Any]]:
    return (items[at : at + size] for at in range(0, len(items), size))
