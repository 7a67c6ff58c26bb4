"""Column types that read and write the same values on SQLite and on PostgreSQL."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import msgspec
from sqlalchemy import DateTime, Dialect, Text
from sqlalchemy.types import TypeDecorator, TypeEngine

INTERNAL = {"internal": True}
"""`Column(..., info=INTERNAL)`: what a view keeps for its own folding; in the table, but not in an answer."""

EVERY_ROW = "every_row"
"""`Table(..., info={EVERY_ROW: condition})`: what is true of every row of the view, and is asked when nothing else is.

It lets the index of an order alone be a partial one. PostgreSQL would take a whole one for a page with a filter, too,
and read past everything that does not match."""


class UtcDateTime(TypeDecorator[datetime]):
    """A point in time, UTC: `timestamptz` on PostgreSQL, ISO text of one fixed width (which sorts) on SQLite."""

    impl = DateTime(timezone=True)
    cache_ok = True

    @property
    def python_type(self) -> type[datetime]:
        return datetime

    def load_dialect_impl(self, dialect: Dialect) -> TypeEngine[Any]:
        return dialect.type_descriptor(Text() if dialect.name == "sqlite" else DateTime(timezone=True))

    def process_bind_param(self, value: datetime | None, dialect: Dialect) -> Any:
        if value is None:
            return None
        if value.tzinfo is None:
            raise ValueError(f"{value} names no moment without a time zone: give it one (UTC)")
        if dialect.name != "sqlite":
            return value
        utc = value if value.tzinfo is UTC else value.astimezone(UTC)
        return utc.isoformat(" ", "microseconds")

    def process_result_value(self, value: Any, dialect: Dialect) -> datetime | None:
        if value is None:
            return None
        instant = datetime.fromisoformat(value) if dialect.name == "sqlite" else value
        return instant if instant.tzinfo is UTC else instant.astimezone(UTC)


class Names(TypeDecorator[tuple[str, ...]]):
    """A small set of names, kept sorted, as a JSON array in text."""

    impl = Text
    cache_ok = True

    def process_bind_param(self, value: tuple[str, ...] | None, _: Dialect) -> str | None:
        return None if value is None else msgspec.json.encode(value).decode() if value else "[]"

    def process_result_value(self, value: str | None, _: Dialect) -> tuple[str, ...] | None:
        return None if value is None else () if value == "[]" else tuple(msgspec.json.decode(value))
