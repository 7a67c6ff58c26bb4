"""A filter: which rows of a view, in which order, after which row. Names and values may be text from outside."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Any, NamedTuple

from sqlalchemy import Column, ColumnElement, Select, Table, and_, false, or_, select

from ...domain.errors import InvalidInput
from ...projections.column_types import EVERY_ROW, INTERNAL
from ...projections.column_values import holds_json
from ...projections.projection import Row
from .attribute_filter import attribute_conditions
from .condition import Where, conditions_of
from .condition_sql import condition_sql
from .operand import operand
from .relative_time import utc_now

ROWS_MAX = 10_000
"""The most rows of one page; `after` asks for the next page."""
STREAMED_ROWS_MAX = 2**63 - 1
"""The largest limit that a database takes."""


class Filter(NamedTuple):
    """The rows that a query selects.

    `where`: conditions on columns (see `Where`); text is read as the column's type.
    `order`: names of columns, with a `-` before one that descends; the primary key decides between equal rows.
    `limit`: the most rows; None for every row, which only a reader that streams may ask for.
    `after`: a row of an earlier page; this page begins after it.
    `attributes`: conditions on the search attributes of each row's saga.
    `limit_max`: the largest limit; a reader that streams may raise it.
    `now`: what relative times are relative to; by default the time at which the filter becomes SQL.
    """

    where: Where | None = None
    order: Sequence[str] = ()
    limit: int | None = 100
    after: Row | None = None
    attributes: Where | None = None
    now: datetime | None = None
    limit_max: int = ROWS_MAX


class _Term(NamedTuple):
    """One column of an order."""

    column: Column[Any]
    descending: bool


def select_rows(table: Table, filter_: Filter) -> Select[Any]:
    """Return the SQL of a filter. Raises `InvalidInput` for an unknown column and for a value that cannot be read."""
    if filter_.limit is not None and not 1 <= filter_.limit <= filter_.limit_max:
        raise InvalidInput(f"a query returns 1 to {filter_.limit_max:,} rows, and {filter_.limit:,} were asked for")
    terms = _terms(table, filter_.order)
    statement = select(*visible_columns(table).values())
    now = filter_.now or utc_now()
    conditions = [
        condition_sql(table, _column(table, condition.column), condition, now)
        for condition in conditions_of(filter_.where)
    ]
    conditions += attribute_conditions(table, conditions_of(filter_.attributes), now)
    if not conditions and EVERY_ROW in table.info:
        conditions.append(table.info[EVERY_ROW])
    if filter_.after is not None:
        conditions.append(_after(table, terms, filter_.after, now))
    return statement.where(*conditions).order_by(*(_order_by(term) for term in terms)).limit(filter_.limit)


def order_columns(table: Table, order: Sequence[str]) -> tuple[str, ...]:
    """Return the columns that say where a row stands in an order: a row of `after` has them. Raises `InvalidInput`."""
    return tuple(term.column.name for term in _terms(table, order))


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


def _after(table: Table, terms: list[_Term], row: Row, now: datetime) -> ColumnElement[bool]:
    """Return the condition of the rows that come after a row, in an order in which nulls are last.

    The bound of a column without nulls is also stated outside of the alternatives (`a <= X AND (a < X OR …)`): a
    database recognises it there, and starts to read an index at the row instead of at its beginning.
    """
    after: ColumnElement[bool] = false()
    for column, descending in reversed(terms):
        if column.name not in row:
            raise InvalidInput(f"the row to begin after lacks {column.name!r}, by which view {table.name!r} is ordered")
        value = operand(table, column, row[column.name], now)
        if value is None:
            after = and_(column.is_(None), after)
            continue
        later = column < value if descending else column > value
        if column.nullable:
            after = or_(later, column.is_(None), and_(column == value, after))
        else:
            after = and_(column <= value if descending else column >= value, or_(later, after))
    return after
