"""A filter: which rows of a view, in which order, after which row. Names and values may be text from outside."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any, NamedTuple

from sqlalchemy import Column, ColumnElement, Select, Table, and_, false, or_, select

from ...domain.errors import InvalidInput
from ...domain.instants import in_utc
from ...projections.column_types import EVERY_ROW, INTERNAL
from ...projections.column_values import holds_json, storable_text
from ...projections.projection import Row

ROWS_MAX = 10_000
"""The most rows of one page; `after` asks for the next page."""


class Filter(NamedTuple):
    """The rows that a query selects.

    `where`: the value that each of these columns must have (None: no value); text is read as the column's type.
    `order`: names of columns, with a `-` before one that descends; the primary key decides between equal rows.
    `after`: a row of an earlier page; this page begins after it.
    """

    where: Mapping[str, Any] = {}
    order: Sequence[str] = ()
    limit: int = 100
    after: Row | None = None


class _Term(NamedTuple):
    """One column of an order."""

    column: Column[Any]
    descending: bool


def select_rows(table: Table, filter_: Filter) -> Select[Any]:
    """Return the SQL of a filter. Raises `InvalidInput` for an unknown column and for a value that cannot be read."""
    if not 1 <= filter_.limit <= ROWS_MAX:
        raise InvalidInput(f"a query returns 1 to {ROWS_MAX:,} rows, and {filter_.limit:,} were asked for")
    terms = _terms(table, filter_.order)
    statement = select(*visible_columns(table).values())
    for name, value in filter_.where.items():
        column = _column(table, name)
        wanted = _value(table, column, value)
        statement = statement.where(column.is_(None) if wanted is None else column == wanted)
    if not filter_.where and EVERY_ROW in table.info:
        statement = statement.where(table.info[EVERY_ROW])
    if filter_.after is not None:
        statement = statement.where(_after(table, terms, filter_.after))
    return statement.order_by(*(_order_by(term) for term in terms)).limit(filter_.limit)


def visible_columns(table: Table) -> dict[str, Column[Any]]:
    """Return the columns of a view that queries show, by name: all but its internal ones."""
    return {column.name: column for column in table.columns if column.info != INTERNAL}


def _terms(table: Table, order: Sequence[str]) -> list[_Term]:
    terms = [_Term(_column(table, name.removeprefix("-")), name.startswith("-")) for name in order]
    named = {term.column.name for term in terms}
    return terms + [_Term(column, False) for column in table.primary_key.columns if column.name not in named]


def _order_by(term: _Term) -> ColumnElement[Any]:
    """Return the term of an ORDER BY, nulls last.

    Columns without nulls do not say NULLS LAST: PostgreSQL would not use an index for it.
    """
    order = term.column.desc() if term.descending else term.column.asc()
    return order.nulls_last() if term.column.nullable else order


def _column(table: Table, name: str) -> Column[Any]:
    columns = visible_columns(table)
    if name not in columns:
        raise InvalidInput(f"view {table.name!r} has no column {name!r}: it has {', '.join(columns)}")
    if holds_json(columns[name]):
        raise InvalidInput(
            f"column {name!r} of view {table.name!r} holds JSON: a query neither filters nor orders by it"
        )
    return columns[name]


def _after(table: Table, terms: list[_Term], row: Row) -> ColumnElement[bool]:
    """Return the condition of the rows that come after a row, in an order in which nulls are last.

    The bound of a column without nulls is also stated outside of the alternatives (`a <= X AND (a < X OR …)`): a
    database recognises it there, and starts to read an index at the row instead of at its beginning.
    """
    after: ColumnElement[bool] = false()
    for column, descending in reversed(terms):
        if column.name not in row:
            raise InvalidInput(f"the row to begin after lacks {column.name!r}, by which view {table.name!r} is ordered")
        value = _value(table, column, row[column.name])
        if value is None:
            after = and_(column.is_(None), after)
            continue
        later = column < value if descending else column > value
        if column.nullable:
            after = or_(later, column.is_(None), and_(column == value, after))
        else:
            after = and_(column <= value if descending else column >= value, or_(later, after))
    return after


def _value(table: Table, column: Column[Any], value: Any) -> Any:
    """Return a value as the column's type; text is converted."""
    type_ = _python_type(column)
    try:
        if value is None:
            return None
        if type_ is datetime:
            instant = value if isinstance(value, datetime) else datetime.fromisoformat(value)
            return in_utc(instant)
        if type_ is bool:
            return _BOOLEANS[str(value).lower()]
        if type_ is str:
            return storable_text(str(value))
        return _integer(value) if type_ is int else value if type_ is object else type_(value)
    except (ArithmeticError, ValueError, TypeError, KeyError) as error:
        raise InvalidInput(
            f"column {column.name!r} of view {table.name!r} takes {_KINDS.get(type_, type_.__name__)}, not {value!r}"
        ) from error


def _integer(value: Any) -> int:
    """Return a value as an integer that a database has. Raises `ValueError`."""
    number = int(value)
    if not -(2**63) <= number < 2**63:
        raise ValueError("beyond the integers of a database")
    return number


def _python_type(column: Column[Any]) -> type[Any]:
    try:
        return column.type.python_type
    except NotImplementedError:  # a type of the database's own, in a table that was reflected
        return object


_BOOLEANS = {"true": True, "1": True, "yes": True, "false": False, "0": False, "no": False}
_KINDS = {int: "a whole number", bool: "true or false", datetime: "a time (2010-12-01T08:26:00Z)", str: "text"}
