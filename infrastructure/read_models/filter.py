"""A question to a view: which rows, in which order, from where on; in the words of whoever asks."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import Any, NamedTuple

from sqlalchemy import Column, ColumnElement, Select, Table, and_, false, or_, select

from ...domain.errors import InvalidInput
from ...projections.column_types import EVERY_ROW, INTERNAL
from ...projections.projection import Row

ROWS_MAX = 10_000
"""The most rows of one answer; `after` asks for those that follow."""


class Filter(NamedTuple):
    """What is asked of a view.

    `where`: the value that each of these columns has (None: none); text is read as the column's type.
    `order`: names of columns, the last first with a `-` before; the key decides between equals.
    `after`: a row of an earlier answer, beyond which this one begins.
    """

    where: Mapping[str, Any] = {}
    order: Sequence[str] = ()
    limit: int = 100
    after: Row | None = None


class _Term(NamedTuple):
    """One column of an order."""

    column: Column[Any]
    descending: bool


def statement(table: Table, question: Filter) -> Select[Any]:
    """The query that a question means. Raises `InvalidInput` for what the view does not have, or cannot be read."""
    if not 1 <= question.limit <= ROWS_MAX:
        raise InvalidInput(f"an answer has 1 to {ROWS_MAX:,} rows, and {question.limit:,} were asked for")
    terms = _terms(table, question.order)
    asked = select(*(column for column in table.columns if column.info != INTERNAL))
    for name, value in question.where.items():
        column = _column(table, name)
        wanted = _value(table, column, value)
        asked = asked.where(column.is_(None) if wanted is None else column == wanted)
    if not question.where and EVERY_ROW in table.info:
        asked = asked.where(table.info[EVERY_ROW])
    if question.after is not None:
        asked = asked.where(_beyond(table, terms, question.after))
    return asked.order_by(*(_by(term) for term in terms)).limit(question.limit)


def _terms(table: Table, order: Sequence[str]) -> list[_Term]:
    terms = [_Term(_column(table, name.removeprefix("-")), name.startswith("-")) for name in order]
    named = {term.column.name for term in terms}
    return terms + [_Term(column, False) for column in table.primary_key.columns if column.name not in named]


def _by(term: _Term) -> ColumnElement[Any]:
    """The term in an ORDER BY. Nulls are last only where there may be some: PostgreSQL reads no index so."""
    by = term.column.desc() if term.descending else term.column.asc()
    return by.nulls_last() if term.column.nullable else by


def _column(table: Table, name: str) -> Column[Any]:
    columns = {column.name: column for column in table.columns if column.info != INTERNAL}
    if name not in columns:
        raise InvalidInput(f"view {table.name!r} has no column {name!r}: it has {', '.join(columns)}")
    return columns[name]


def _beyond(table: Table, terms: list[_Term], row: Row) -> ColumnElement[bool]:
    """The rows that come after one in an order in which nulls are last.

    Where a column has no nulls, its bound stands outside of the alternatives (`a <= X AND (a < X OR …)`): there a
    database finds it, and begins to read an index at the row instead of far in front of it.
    """
    beyond: ColumnElement[bool] = false()
    for column, descending in reversed(terms):
        if column.name not in row:
            raise InvalidInput(f"the row to begin after lacks {column.name!r}, by which view {table.name!r} is ordered")
        value = _value(table, column, row[column.name])
        if value is None:
            beyond = and_(column.is_(None), beyond)
            continue
        later = column < value if descending else column > value
        if column.nullable:
            beyond = or_(later, column.is_(None), and_(column == value, beyond))
        else:
            beyond = and_(column <= value if descending else column >= value, or_(later, beyond))
    return beyond


def _value(table: Table, column: Column[Any], value: Any) -> Any:
    """A value as the column's type, read from text where it is text."""
    type_ = column.type.python_type
    try:
        if value is None:
            return None
        if type_ is datetime:
            instant = value if isinstance(value, datetime) else datetime.fromisoformat(value)
            return instant if instant.tzinfo is not None else instant.replace(tzinfo=UTC)
        if type_ is bool:
            return _BOOLEANS[str(value).lower()]
        return value if type_ is object else type_(value)
    except (ValueError, TypeError, KeyError) as error:
        raise InvalidInput(
            f"column {column.name!r} of view {table.name!r} takes {_KINDS.get(type_, type_.__name__)}, not {value!r}"
        ) from error


_BOOLEANS = {"true": True, "1": True, "yes": True, "false": False, "0": False, "no": False}
_KINDS = {int: "a whole number", bool: "true or false", datetime: "a time (2010-12-01T08:26:00Z)", str: "text"}
