"""Instants at the ends of the calendar: Python's datetimes have the years 1 to 9999, in UTC as in any other zone."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import msgspec
from msgspec import Struct
from msgspec.inspect import DateTimeType, Field

from .type_contents import may_contain

EARLIEST = datetime.min.replace(tzinfo=UTC)
LATEST = datetime.max.replace(tzinfo=UTC)


def in_utc(instant: datetime) -> datetime:
    """Returns an instant in UTC; a time without a zone is read as UTC.

    An instant before the year 1 or after the year 9999 of UTC, such as 0001-01-01T00:00+14:00, is `EARLIEST` or
    `LATEST`.
    """
    if instant.tzinfo is UTC:
        return instant
    if instant.utcoffset() is None:
        return instant.replace(tzinfo=UTC)
    try:
        return instant.astimezone(UTC)
    except OverflowError:
        return EARLIEST if instant.year == 1 else LATEST


def fields_with_instants(type_: type[Struct]) -> tuple[str, ...]:
    """Returns the names of the fields of a struct that are datetimes, or may contain some."""
    info = msgspec.inspect.type_info(type_)
    fields: tuple[Field, ...] = getattr(info, "fields", ())
    return tuple(field.name for field in fields if may_contain(field, (DateTimeType,)))


def within_calendar(value: Any) -> Any:
    """Returns a decoded value in which each instant that UTC cannot hold is the nearest one that it can.

    Everything else stays as it is. It looks into structs, lists, tuples and dicts.
    """
    match value:
        case datetime():
            return value if value.utcoffset() is None or _fits(value) else in_utc(value)
        case Struct():
            before = {name: getattr(value, name) for name in value.__struct_fields__}
            changed = {name: new for name, old in before.items() if (new := within_calendar(old)) is not old}
            return msgspec.structs.replace(value, **changed) if changed else value
        case list() | tuple():
            items = [within_calendar(item) for item in value]
            if all(new is old for new, old in zip(items, value, strict=True)):
                return value
            return type(value)(*items) if hasattr(value, "_fields") else type(value)(items)
        case dict():
            return {key: within_calendar(item) for key, item in value.items()}
        case _:
            return value


def _fits(instant: datetime) -> bool:
    try:
        instant.astimezone(UTC)
    except OverflowError:
        return False
    return True
