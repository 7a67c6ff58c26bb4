"""Whether two values of users are the same, whatever the order, the time zone or the form in which they are written."""

from __future__ import annotations

from dataclasses import fields, is_dataclass
from datetime import UTC, datetime, time, timedelta
from decimal import Decimal
from typing import Any

import msgspec
from msgspec import Raw

from ..instants import EARLIEST
from ..pydantic_fields import fields_of_model


def same_value(one: Any, other: Any) -> bool:
    """Whether two values read from JSON are equal.

    Sets and objects have no order, 1 and 1.0 are one number, and one instant may be written in several time zones.
    Types need no `==` of their own.
    """
    return _canonical(one) == _canonical(other)


def _canonical(value: Any) -> str:
    """Returns a text that two values have in common if they are equal."""
    if isinstance(value, Raw):
        value = msgspec.json.decode(value)
    match value:
        case None | bool() | str():
            return repr(value)
        case int() | float() | Decimal():
            return _number(value)
        case datetime() | time():
            return _time(value)
        case dict():
            return f"{{{','.join(sorted(f'{_canonical(key)}:{_canonical(part)}' for key, part in value.items()))}}}"
        case set() | frozenset():
            return f"[{','.join(sorted(map(_canonical, value)))}]"
        case list() | tuple():
            return f"[{','.join(map(_canonical, value))}]"
    parts = fields_of(value)
    return repr(msgspec.to_builtins(value, enc_hook=bytes)) if parts is None else _canonical(parts)


def fields_of(value: Any) -> dict[str, Any] | None:
    """Returns the fields of a struct, a dataclass, an attrs class or a model, by name; None for anything else."""
    if isinstance(value, msgspec.Struct):
        return {"": type(value).__qualname__, **msgspec.structs.asdict(value)}
    if is_dataclass(value):
        return {field.name: getattr(value, field.name) for field in fields(value)}
    attributes = getattr(type(value), "__attrs_attrs__", None)
    if attributes is not None:
        return {each.name: getattr(value, each.name) for each in attributes}
    return fields_of_model(value)


def _number(value: float | Decimal) -> str:
    number = Decimal(value)
    if not number.is_finite():
        return repr(number)
    sign, digits, exponent = number.as_tuple()
    significant = "".join(map(str, digits)).lstrip("0")
    shortest = significant.rstrip("0")
    if not shortest:
        return "0"
    return f"{'-' if sign else ''}{shortest}e{int(exponent) + len(significant) - len(shortest)}"


def _time(value: datetime | time) -> str:
    """Returns a time in UTC, also one that no calendar has there; without a time zone it stays as it is."""
    offset = value.utcoffset()
    if offset is None:
        return repr(value)
    day = value.replace(tzinfo=UTC) - EARLIEST if isinstance(value, datetime) else _since_midnight(value)
    return f"UTC {(day - offset) // timedelta(microseconds=1)}"


def _since_midnight(value: time) -> timedelta:
    return timedelta(hours=value.hour, minutes=value.minute, seconds=value.second, microseconds=value.microsecond)
