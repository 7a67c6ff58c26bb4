"""Finding sagas by their search attributes: conditions on the view `saga_attributes`, as conditions on a saga's id.

Each condition is one subquery, so that a saga with several values of an attribute is found by any of them, and counts
once.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime, timedelta
from decimal import Decimal, InvalidOperation
from typing import Any, Final

from sqlalchemy import ColumnElement, Table, and_, false, or_, select

from ...domain.errors import InvalidInput
from ...projections.column_values import storable_text
from ...projections.saga.attribute_value import ValueKind, number_text, time_text, value_of
from ...projections.saga.saga_attributes import SAGA_ATTRIBUTES
from .condition import COMPARISONS, EQUAL, IN, IS_NULL, LIKE, NEGATIONS, RowCondition
from .condition_sql import COMPARE, by_code_point
from .like_pattern import LikePattern
from .relative_time import long_before, read_time

SAGA_ID: Final = "saga_id"
_attributes: Final = SAGA_ATTRIBUTES.c


def attribute_conditions(table: Table, conditions: Sequence[RowCondition], now: datetime) -> list[ColumnElement[bool]]:
    """Return the SQL that the saga of a row has these attributes.

    A negated operator holds of the sagas of which the plain one does not, and so also of those without the attribute.
    Raises `InvalidInput` for a view whose rows belong to no saga, and for a value that no attribute can have.
    """
    if conditions and SAGA_ID not in table.columns:
        raise InvalidInput(f"the rows of view {table.name!r} belong to no saga: it has no column {SAGA_ID!r}")
    return [_of_saga(table.columns[SAGA_ID], condition, now) for condition in conditions]


def _of_saga(saga_id: ColumnElement[Any], condition: RowCondition, now: datetime) -> ColumnElement[bool]:
    name, operator, value = condition
    plain = NEGATIONS.get(operator, operator)
    matching = select(_attributes.saga_id).where(_attributes.name == storable_text(name))
    if plain == IS_NULL or (plain == EQUAL and value is None):
        return saga_id.in_(matching) if operator in NEGATIONS else saga_id.not_in(matching)
    matching = matching.where(_matches(name, plain, value, now))
    return saga_id.not_in(matching) if operator in NEGATIONS else saga_id.in_(matching)


def _matches(name: str, operator: str, value: Any, now: datetime) -> ColumnElement[bool]:
    if operator == EQUAL:
        return _equals(name, value, now)
    if operator == IN:
        return or_(false(), *(_equals(name, each, now) for each in value))
    if operator == LIKE:
        return LikePattern.read(str(value), f"the pattern {str(value)[:60]!r} of attribute {name!r}").matches(
            _attributes.value
        )
    assert operator in COMPARISONS  # noqa: S101 -- there is no other operator
    compare = COMPARE[operator]
    text = _text(name, value, now)
    if (number := _as_number(text)) is not None:
        return compare(_attributes.number, float(number))
    if (instant := _as_time(text, now)) is not None:
        return compare(_attributes.time, instant)
    return and_(_attributes.kind == ValueKind.TEXT.value, compare(by_code_point(_attributes.value), text))


def _equals(name: str, value: Any, now: datetime) -> ColumnElement[bool]:
    """Return the SQL that a value has this text; or is this number or time, in whatever way that is written."""
    text = _text(name, value, now)
    same: ColumnElement[bool] = _attributes.value == text
    if (number := _as_number(text)) is not None and (canonical := number_text(number)) != text:
        same = or_(same, and_(_attributes.value == canonical, _attributes.kind == ValueKind.NUMBER.value))
    elif (instant := _as_time(text, now)) is not None and (canonical := time_text(instant)) != text:
        same = or_(same, and_(_attributes.value == canonical, _attributes.kind == ValueKind.TIME.value))
    return same


def _text(name: str, value: Any, now: datetime) -> str:
    try:
        if isinstance(value, timedelta):
            value = long_before(value, now)
        return storable_text(value if isinstance(value, str) else value_of(value).text)
    except (TypeError, ValueError) as error:
        raise InvalidInput(f"search attribute {name!r} has no value like {value!r}: {error}") from error


def _as_number(text: str) -> Decimal | None:
    """Return the number that a text writes, if an attribute can have it."""
    try:
        number = Decimal(text)
        number_text(number)
    except (InvalidOperation, ValueError):
        return None
    return number


def _as_time(text: str, now: datetime) -> datetime | None:
    try:
        return read_time(text, now)
    except ValueError:
        return None
