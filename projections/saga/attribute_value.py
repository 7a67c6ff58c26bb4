"""The values of a search attribute: each as text, with its kind, so that they can be found and compared."""

from __future__ import annotations

from datetime import UTC, date, datetime
from decimal import Decimal
from enum import Enum, StrEnum
from typing import Any, Final, NamedTuple
from uuid import UUID

from ...domain.instants import in_utc

VALUE_CHARACTERS_MAX: Final = 250
"""The longest text of a value: PostgreSQL indexes about 2,700 bytes, and a row's key has the saga's id, too."""
VALUES_MAX: Final = 100
"""The most values of one attribute of a saga."""


class ValueKind(StrEnum):
    """What a value is; it decides by which column values are compared."""

    TEXT = "text"
    NUMBER = "number"
    TIME = "time"
    BOOLEAN = "boolean"


class AttributeValue(NamedTuple):
    """One value of an attribute: equal values have equal texts."""

    text: str
    kind: ValueKind


def values_of(returned: Any) -> list[AttributeValue]:
    """Returns the values that a search function returned: none for None, several for a list, a tuple or a set.

    Raises `TypeError` or `ValueError` for what cannot be the value of an attribute.
    """
    several = returned if isinstance(returned, list | tuple | set | frozenset) else (returned,)
    if len(several) > VALUES_MAX:
        raise ValueError(f"it has {len(several)} values: at most {VALUES_MAX} are recorded")
    return list(dict.fromkeys(value_of(each) for each in several if each is not None))


def value_of(value: Any) -> AttributeValue:
    """Returns a value as it is recorded. Raises `TypeError` or `ValueError` for what cannot be recorded."""
    found = _value_of(value.value if isinstance(value, Enum) else value)
    if len(found.text) > VALUE_CHARACTERS_MAX:
        raise ValueError(f"it has a value of {len(found.text)} characters: at most {VALUE_CHARACTERS_MAX} are recorded")
    return found


def _value_of(value: Any) -> AttributeValue:
    match value:
        case str():
            return AttributeValue(str.__str__(value), ValueKind.TEXT)
        case bool():
            return AttributeValue("true" if value else "false", ValueKind.BOOLEAN)
        case int():
            return AttributeValue(int.__repr__(value), ValueKind.NUMBER)
        case float() | Decimal():
            return AttributeValue(
                number_text(Decimal(repr(float(value))) if isinstance(value, float) else value), ValueKind.NUMBER
            )
        case datetime():
            return AttributeValue(time_text(value), ValueKind.TIME)
        case date():
            return AttributeValue(value.isoformat(), ValueKind.TIME)
        case UUID():
            return AttributeValue(str(value), ValueKind.TEXT)
        case _:
            raise TypeError(
                f"it has a value of type {type(value).__name__}: return text, a number, a time, true or false, or a "
                "list of these"
            )


def number_text(number: Decimal) -> str:
    """Returns the one text of a number: without an exponent, and without zeros at its end.

    Raises `ValueError` for one that is not finite, or much too long.
    """
    if not number.is_finite() or abs(number.adjusted()) > VALUE_CHARACTERS_MAX:
        raise ValueError(f"it has the number {number}, which has no text that can be found")
    text = format(number, "f")
    text = text.rstrip("0").rstrip(".") if "." in text else text
    return "0" if text == "-0" else text


def time_text(instant: datetime) -> str:
    """Returns the one text of a time: in UTC, to the microsecond, as `--json` has it."""
    return f"{in_utc(instant).replace(tzinfo=None).isoformat(timespec='microseconds')}Z"


def number_of(value: AttributeValue) -> float | None:
    """Returns the number by which a value is compared with others; None if it is no number."""
    return float(value.text) if value.kind is ValueKind.NUMBER else None


def time_of(value: AttributeValue) -> datetime | None:
    """Returns the time by which a value is compared with others; None if it is no time. A date begins at midnight."""
    if value.kind is not ValueKind.TIME:
        return None
    instant = datetime.fromisoformat(value.text)
    return instant.replace(tzinfo=UTC) if instant.tzinfo is None else instant
