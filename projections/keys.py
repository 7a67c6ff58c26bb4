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


def keys_by_first_value(keys: Iterable[Key], wanted: Iterable[RowsWhere]) -> Mapping[Any, list[Key]]:
    """Returns those of the keys that each `RowsWhere` may mean, by their first value."""
    index: dict[Any, list[Key]] = {rows.first: [] for rows in wanted}
    if index:
        for key in dict.fromkeys(keys):
            if key[0] in index:
                index[key[0]].append(key)
    return index
