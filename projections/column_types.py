"""Column types that read and write the same values on SQLite and on PostgreSQL, and marks for columns and tables."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

from sqlalchemy import DateTime, Dialect, Text
from sqlalchemy.types import TypeDecorator, TypeEngine

from ..domain.instants import in_utc

INTERNAL = {"internal": True}
"""`Column(..., info=INTERNAL)` marks a column that the view needs for its own folding: queries leave it out."""

EVERY_ROW = "every_row"
"""`Table(..., info={EVERY_ROW: condition})` names a condition that holds for every row of the view.

A query without a filter repeats the condition, and so may use a partial index that has it. An index that serves only
an order should be partial in this way: PostgreSQL would use a full one for filtered pages as well, and then read past
every row that does not match the filter.
"""


class UtcDateTime(TypeDecorator[datetime]):
    """A time in UTC: `timestamptz` on PostgreSQL, and on SQLite ISO text of one width, which sorts.

    A time without a time zone is read as UTC. A time that UTC cannot hold is the nearest one that it can: the first
    moment of the year 1, or the last one of the year 9999.
    """

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
        utc = in_utc(value)
        return utc.isoformat(" ", "microseconds") if dialect.name == "sqlite" else utc

    def process_result_value(self, value: Any, dialect: Dialect) -> datetime | None:
        if value is None:
            return None
        instant = datetime.fromisoformat(value) if dialect.name == "sqlite" else value
        return instant if instant.tzinfo is UTC else instant.astimezone(UTC)
