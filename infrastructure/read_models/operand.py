"""Operands: values from outside, read as the type of the column that they are compared with."""

from __future__ import annotations

from datetime import date, datetime, time, timedelta
from decimal import Decimal
from math import isfinite
from typing import Any, Final

from sqlalchemy import Column, Enum, Table

from ...domain.errors import InvalidInput
from ...domain.instants import in_utc
from ...projections.column_values import storable_text
from .relative_time import long_before, read_time


def operand(table: Table, column: Column[Any], value: Any, now: datetime) -> Any:
    """Return a value as the column's type; text is read, and a time may be relative to now (`7d`).

    Raises `InvalidInput`, which names the column, its type and the value, for one that it cannot have.
    """
    if value is None:
        return None
    type_ = python_type(column)
    try:
        if type_ is datetime:
            return _time(value, now)
        if type_ is bool:
            return _BOOLEANS[str(value).lower()]
        if type_ is str:
            return storable_text(str(value))
        if type_ is int:
            return _integer(value)
        if type_ in (float, Decimal):
            return _number(type_, value)
        return value if type_ is object or isinstance(value, type_) else _read(type_, value)
    except (ArithmeticError, ValueError, TypeError, KeyError, AttributeError) as error:
        remedy = _REMEDIES.get(type_, "")
        raise InvalidInput(
            f"column {column.name!r} of view {table.name!r} takes {kind(column)}, not {value!r}{remedy}"
        ) from error


def python_type(column: Column[Any]) -> type[Any]:
    """Return the type of a column's values; `object` for a type of the database's own."""
    try:
        return column.type.python_type
    except NotImplementedError:  # in a table that was reflected
        return object


def holds_text(column: Column[Any]) -> bool:
    """Whether a column holds any text, so that it can be compared with a pattern."""
    return python_type(column) is str and not isinstance(column.type, Enum)


def kind(column: Column[Any]) -> str:
    """Return what a column takes, in words."""
    type_ = python_type(column)
    return _KINDS.get(type_, type_.__name__)


def _time(value: Any, now: datetime) -> datetime:
    if isinstance(value, timedelta):
        return long_before(value, now)
    return in_utc(value) if isinstance(value, datetime) else read_time(value, now)


def _integer(value: Any) -> int:
    """Return a value as an integer that a database has. Raises `ValueError`."""
    number = int(value)
    if not -(2**63) <= number < 2**63:
        raise ValueError("beyond the integers of a database")
    if number != value and not isinstance(value, str):
        raise ValueError("a part of the number would be lost")
    return number


def _number(type_: type[Any], value: Any) -> Any:
    number = type_(value)
    if not isfinite(number):
        raise ValueError("not finite")
    return number


def _read(type_: type[Any], value: Any) -> Any:
    return type_.fromisoformat(value) if type_ in (date, time) else type_(value)


_BOOLEANS: Final = {"true": True, "1": True, "yes": True, "false": False, "0": False, "no": False}
_REMEDIES: Final = {
    int: ": write it as 1234, without a unit",
    float: ": write it as 12.5, without a unit",
    Decimal: ": write it as 12.5, without a unit",
    datetime: ": 2010-12-01T08:26:00Z, or 7d for seven days ago (s, m, h, d, w)",
    date: ": write it as 2010-12-01",
}
_KINDS: Final = {
    int: "a whole number",
    float: "a number",
    Decimal: "a number",
    bool: "true or false",
    datetime: "a time",
    date: "a date",
    str: "text",
}
