"""The SQL of conditions: the same rows on both databases. Every value is a parameter."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from datetime import datetime
from operator import ge, gt, le, lt
from typing import Any, Final

from sqlalchemy import Column, ColumnElement, Table, Text, false, or_
from sqlalchemy.ext.compiler import compiles
from sqlalchemy.sql.functions import FunctionElement

from ...domain.errors import InvalidInput
from .condition import ABOVE, AT_LEAST, AT_MOST, BELOW, COMPARISONS, EQUAL, IN, IS_NULL, NEGATIONS, RowCondition
from .like_pattern import LikePattern
from .operand import holds_text, kind, operand, python_type

COMPARE: Final[Mapping[str, Callable[[Any, Any], ColumnElement[bool]]]] = {
    BELOW: lt,
    AT_MOST: le,
    ABOVE: gt,
    AT_LEAST: ge,
}


class by_code_point(FunctionElement[str]):  # noqa: N801  # written like the SQL function that it stands for
    """A text that is compared by the numbers of its characters, and not as the database's language sorts them."""

    type = Text()
    inherit_cache = True


@compiles(by_code_point, "postgresql")
def _postgres_collation(element: by_code_point, compiler: Any, **options: Any) -> str:
    return f'({compiler.process(element.clauses, **options)} COLLATE "C")'


@compiles(by_code_point, "sqlite")
def _sqlite_collation(element: by_code_point, compiler: Any, **options: Any) -> str:
    return f"({compiler.process(element.clauses, **options)} COLLATE BINARY)"


def condition_sql(table: Table, column: Column[Any], condition: RowCondition, now: datetime) -> ColumnElement[bool]:
    """Return the SQL of a condition on a column. Raises `InvalidInput` for an operator or a value that it cannot take.

    A negated operator holds wherever the plain one does not, and so also where the column has no value.
    """
    plain = NEGATIONS.get(condition.operator)
    if plain is None:
        return _plain(table, column, condition, now)
    holds = _plain(table, column, condition._replace(operator=plain), now)
    if plain == IS_NULL or (plain == EQUAL and condition.value is None):
        return column.is_not(None)
    if not column.nullable:
        return ~holds
    if plain == IN and None in condition.value:  # the rows without a value are among those that do not match
        return column.is_not(None) & ~_among(table, column, condition.value, now)
    return or_(column.is_(None), ~holds)


def _plain(table: Table, column: Column[Any], condition: RowCondition, now: datetime) -> ColumnElement[bool]:
    operator, value = condition.operator, condition.value
    if operator == EQUAL:
        wanted = operand(table, column, value, now)
        return column.is_(None) if wanted is None else column == wanted
    if operator == IS_NULL:
        return column.is_(None)
    if operator == IN:
        among = _among(table, column, value, now)
        return or_(column.is_(None), among) if None in value else among
    if operator in COMPARISONS:
        if python_type(column) is bool:
            raise _unfit(table, column, operator, value, "use = or !=")
        wanted = operand(table, column, value, now)
        return COMPARE[operator](by_code_point(column) if holds_text(column) else column, wanted)
    if not holds_text(column):
        raise _unfit(table, column, operator, value, "like compares text: use = != < <= > >= or in")
    what = f"the pattern {str(value)[:60]!r} of column {column.name!r}"
    return LikePattern.read(str(value), what).matches(column)


def _among(table: Table, column: Column[Any], values: Any, now: datetime) -> ColumnElement[bool]:
    """Return the SQL that a column has one of the values that are not None."""
    wanted = [operand(table, column, value, now) for value in values if value is not None]
    return column.in_(wanted) if wanted else false()


def _unfit(table: Table, column: Column[Any], operator: str, value: Any, remedy: str) -> InvalidInput:
    return InvalidInput(
        f"{operator} {value!r} cannot be asked of column {column.name!r} of view {table.name!r}, which holds "
        f"{kind(column)}: {remedy}"
    )
