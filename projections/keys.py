"""Keys: which rows of a view an event touches."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import Any, TypeAlias

from msgspec import Struct
from sqlalchemy import Table

from ..domain.errors import DefinitionError
from .column_values import are_stored_texts, rule_of, takes_any_text

Key: TypeAlias = tuple[Any, ...]
"""The primary key of a row, in the order of the key columns."""
KeyOf: TypeAlias = Callable[[Any], Any]
"""Returns the keys of the rows that a recorded event touches: a value, or a tuple for a composite key; `RowsWhere` for
rows that the event does not name; a list of these for several rows; None for no row."""


class RowsWhere(Struct, frozen=True):
    """The rows whose key begins with a value, and which have another value in one column when the event is folded."""

    first: Any
    """The value of the first key column."""
    column: str
    value: Any


class KeyRules:
    """What the keys of one table are made of."""

    def __init__(self, table: Table) -> None:
        self._table = table
        self._names = tuple(column.name for column in table.primary_key.columns)
        self._by_name = {column.name: rule_of(column) for column in table.columns}
        self._rules = [self._by_name[name] for name in self._names]
        self._only_text = all(takes_any_text(column) for column in table.primary_key.columns)

    def checked(self, key: Any) -> Key:
        """Returns a key as the table has it. Raises `DefinitionError` for what is none."""
        parts = key if isinstance(key, tuple) else (key,)
        if len(parts) != len(self._rules):
            raise DefinitionError(
                f"its key function returned a key of {len(parts)} values, and the key of view {self._table.name!r} "
                f"has {len(self._rules)}: {', '.join(self._names)}"
            )
        if self._only_text and are_stored_texts(parts):
            return parts
        try:
            return tuple(
                part if rule is None else rule.convert(part) for part, rule in zip(parts, self._rules, strict=True)
            )
        except (TypeError, ValueError) as error:
            raise DefinitionError(
                f"its key function returned what is no key: {error} (return a value, a tuple for a composite key, "
                "a list of these, or None)"
            ) from error

    def checked_rows(self, rows: RowsWhere) -> RowsWhere:
        """Returns what finds rows, with its values as the table has them. Raises `DefinitionError`, `TypeError` or
        `ValueError` for a column or a value that finds none."""
        first, rule = self._rules[0], self._by_name.get(rows.column)
        if first is None or rule is None:
            raise DefinitionError(
                f"its key function returned {rows!r}, and view {self._table.name!r} has no such column of text, "
                "numbers or times"
            )
        return RowsWhere(first.convert(rows.first), rows.column, rule.convert(rows.value))


class MatchingRows:
    """The rows that each `RowsWhere` of a batch means, kept up while the batch is folded."""

    def __init__(self, wanted: Iterable[RowsWhere], rows: Mapping[Key, Mapping[str, Any]]) -> None:
        self._matching: dict[RowsWhere, dict[Key, None]] = {rows_where: {} for rows_where in wanted}
        self._by_first: dict[Any, list[RowsWhere]] = {}
        for rows_where in self._matching:
            self._by_first.setdefault(rows_where.first, []).append(rows_where)
        if self._by_first:
            for key, row in rows.items():
                self.put(key, row)

    def put(self, key: Key, row: Mapping[str, Any] | None) -> None:
        """Take note of a row as it is now; None: it is deleted."""
        for rows_where in self._by_first.get(key[0], ()):
            if row is not None and row.get(rows_where.column) == rows_where.value:
                self._matching[rows_where][key] = None
            else:
                self._matching[rows_where].pop(key, None)

    def keys(self, rows_where: RowsWhere) -> list[Key]:
        """Returns the keys of the rows that are meant now."""
        return list(self._matching[rows_where])
