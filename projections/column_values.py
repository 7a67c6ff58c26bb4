"""What each column of a view takes: the same values on SQLite, which would store nearly anything, and on PostgreSQL.

Text is stored escaped where PostgreSQL could not store it (see `storable_text`). Any other value that does not fit its
column is an error: of its handler, or of its key function.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from datetime import datetime
from math import isfinite
from typing import Any, NamedTuple

from sqlalchemy import (
    JSON,
    BigInteger,
    Boolean,
    Column,
    Date,
    DateTime,
    Enum,
    Float,
    Integer,
    LargeBinary,
    Numeric,
    SmallInteger,
    String,
    Table,
    Time,
    Uuid,
)
from sqlalchemy.types import TypeDecorator, TypeEngine

from ..domain.errors import DefinitionError
from .column_types import UtcDateTime

NUL_SHOWN = "\N{SYMBOL FOR NULL}"
"""Stands for a character U+0000, which PostgreSQL cannot store."""
SURROGATE_SHOWN = "\N{REPLACEMENT CHARACTER}"
"""Stands for a lone surrogate, which is no character, and which UTF-8 cannot encode."""
_SHOWN = {0: NUL_SHOWN, **dict.fromkeys(range(0xD800, 0xE000), SURROGATE_SHOWN)}

_NONE = type(None)
_TEXT = frozenset({str})
_IMMUTABLE = (String, Integer, Numeric, Boolean, Date, DateTime, Time, Uuid, UtcDateTime)


def storable_text(text: str) -> str:
    """Returns a text as views store it: U+0000 as U+2400 (␀), and a lone surrogate as U+FFFD."""
    return text if _is_storable(text) else text.translate(_SHOWN)


def _is_storable(text: str) -> bool:
    if "\0" in text:
        return False
    if text.isascii():
        return True
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True


def are_stored_texts(values: Sequence[Any]) -> bool:
    """Whether all of these values are texts that views store as they are."""
    return _TEXT.issuperset(map(type, values)) and _is_storable("".join(values))


class ColumnRule(NamedTuple):
    """What one column takes."""

    column: str
    usual: frozenset[type]
    """The exact types of nearly all values: those that are checked all at once."""
    fits: Callable[[Sequence[Any]], bool]
    """Whether all of these values, of those types and not None, are stored as they are."""
    convert: Callable[[Any], Any]
    """Returns a value, which is not None, as it is stored. Raises `TypeError` or `ValueError`."""

    def fits_all(self, values: Sequence[Any]) -> bool:
        """Whether all of these values, some of them None, are stored as they are."""
        types = set(map(type, values))
        if not self.usual.issuperset(types):
            return False
        return self.fits([value for value in values if value is not None] if _NONE in types else values)


def rule_of(column: Column[Any]) -> ColumnRule | None:
    """Returns what a column takes; None if its type is one that SQLAlchemy or the database checks."""
    type_, name = column.type, column.name
    if isinstance(type_, Enum):
        return None
    if isinstance(type_, String):
        return ColumnRule(name, frozenset({str, _NONE}), _texts(type_.length), _text(name, type_.length))
    if isinstance(type_, Integer):
        bits = 16 if isinstance(type_, SmallInteger) else 64 if isinstance(type_, BigInteger) else 32
        bound = 1 << bits - 1
        return ColumnRule(name, frozenset({int, _NONE}), _integers(bound), _integer(name, bound))
    if isinstance(type_, Float):
        return ColumnRule(name, frozenset({float, _NONE}), lambda values: all(map(isfinite, values)), _number(name))
    if isinstance(type_, Boolean):
        return ColumnRule(name, frozenset({bool, _NONE}), lambda _: True, _boolean(name))
    if isinstance(type_, UtcDateTime):
        return ColumnRule(name, frozenset({datetime, _NONE}), lambda _: True, _time(name))
    if isinstance(type_, JSON):
        return ColumnRule(name, frozenset({_NONE}), lambda _: True, _document(name))
    return None


def takes_any_text(column: Column[Any]) -> bool:
    """Whether a column takes every text, of any length."""
    return isinstance(column.type, String) and not isinstance(column.type, Enum) and column.type.length is None


def holds_json(column: Column[Any]) -> bool:
    """Whether a column stores JSON, also behind a type of the user's own."""
    return isinstance(_stored_type(column), JSON)


def refuse_bytes(table: Table) -> None:
    """Raises `DefinitionError` for a column of bytes: rows are sent to PostgreSQL as JSON, which has none."""
    for column in table.columns:
        if isinstance(_stored_type(column), LargeBinary):
            raise DefinitionError(
                f"projection {table.name!r} has the column {column.name!r} of type {column.type!r}: use text or JSON"
            )


def _stored_type(column: Column[Any]) -> TypeEngine[Any]:
    return column.type.impl_instance if isinstance(column.type, TypeDecorator) else column.type


def holds_immutable_values(column: Column[Any]) -> bool:
    """Whether a copy of a row shares no value of this column that could be changed."""
    return isinstance(column.type, _IMMUTABLE)


def _texts(length: int | None) -> Callable[[Sequence[str]], bool]:
    def fit(values: Sequence[str]) -> bool:
        return _is_storable("".join(values)) and (length is None or all(len(value) <= length for value in values))

    return fit


def _text(column: str, length: int | None) -> Callable[[Any], str]:
    def convert(value: Any) -> str:
        if not isinstance(value, str):
            raise _unfit(column, "text", value)
        if length is not None and len(value) > length:
            raise ValueError(f"column {column!r} takes {length} characters, and the text has {len(value)}")
        return storable_text(str.__str__(value))

    return convert


def _integers(bound: int) -> Callable[[Sequence[int]], bool]:
    return lambda values: not values or (min(values) >= -bound and max(values) < bound)


def _integer(column: str, bound: int) -> Callable[[Any], int]:
    def convert(value: Any) -> int:
        if not isinstance(value, int) or isinstance(value, bool):
            raise _unfit(column, "a whole number", value)
        if not -bound <= value < bound:
            raise ValueError(f"column {column!r} takes whole numbers of {bound.bit_length()} bits: this one has more")
        return int(value)

    return convert


def _number(column: str) -> Callable[[Any], float]:
    def convert(value: Any) -> float:
        if not isinstance(value, int | float) or isinstance(value, bool):
            raise _unfit(column, "a number", value)
        if not isfinite(value):
            raise ValueError(f"column {column!r} takes a finite number, not {value}")
        return float(value)

    return convert


def _boolean(column: str) -> Callable[[Any], bool]:
    def convert(value: Any) -> bool:
        if not isinstance(value, int) or value not in (0, 1):
            raise _unfit(column, "true or false", value)
        return bool(value)

    return convert


def _time(column: str) -> Callable[[Any], datetime]:
    def convert(value: Any) -> datetime:
        if not isinstance(value, datetime):
            raise _unfit(column, "a time (a datetime)", value)
        return value

    return convert


def _document(column: str) -> Callable[[Any], Any]:
    def convert(value: Any) -> Any:
        match value:
            case None | bool() | int():
                return value
            case float():
                return number(value)
            case str():
                return storable_text(str.__str__(value))
            case list() | tuple():
                return [convert(each) for each in value]
            case dict():
                return {name(key): convert(each) for key, each in value.items()}
            case _:
                raise _unfit(column, "JSON", value)

    def name(key: Any) -> str:
        if not isinstance(key, str):
            raise TypeError(f"column {column!r} takes JSON, whose keys are text, not of type {type(key).__name__}")
        return storable_text(str.__str__(key))

    number = _number(column)
    return convert


def _unfit(column: str, takes: str, value: Any) -> TypeError:
    return TypeError(f"column {column!r} takes {takes}, not a value of type {type(value).__name__}")
