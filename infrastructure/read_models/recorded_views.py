"""Recorded views: views that the database has and no loaded app declares, read by the columns of their tables."""

from __future__ import annotations

import re
from collections.abc import Sequence
from datetime import datetime
from typing import Any, Final

from sqlalchemy import Column, Connection, DateTime, Dialect, MetaData, Table, Text, inspect, select

from ...projections.column_types import UtcDateTime
from .readable import readable

ROWS_LOOKED_AT: Final = 100
_TIME: Final = re.compile(r"\d{4}-\d{2}-\d{2} \d{2}:\d{2}:\d{2}\.\d{6}\+00:00")


class TimeText(UtcDateTime):
    """A time that is compared as a time, and read as the text that SQLite has of it."""

    cache_ok = True

    def process_result_value(self, value: Any, dialect: Dialect) -> datetime | None:  # noqa: ARG002
        text: datetime | None = value  # in truth the text, whatever the annotation of the type says
        return text


def reflect(connection: Connection, name: str) -> Table:
    """Return the table of a view with the columns, types and key that the database knows.

    SQLite has no type for times: there they are text of one width, in UTC. A column whose first values have that form
    is compared with times, and read as the text that it is.
    Raises `sqlalchemy.exc.NoSuchTableError` if there is no such table.
    """
    database = inspect(connection)
    columns = database.get_columns(name)
    key = database.get_pk_constraint(name)["constrained_columns"]
    times = _columns_of_times(connection, name, columns) if connection.dialect.name == "sqlite" else frozenset()
    return Table(
        name,
        MetaData(),
        *(
            Column(
                column["name"],
                TimeText() if column["name"] in times else _utc(column["type"]),
                primary_key=column["name"] in key,
                nullable=column["nullable"] and column["name"] not in key,
            )
            for column in columns
        ),
    )


def _columns_of_times(connection: Connection, name: str, columns: Sequence[Any]) -> frozenset[str]:
    """Return the columns of text whose first values are times as `UtcDateTime` stores them."""
    texts = [Column(column["name"], Text) for column in columns if isinstance(column["type"], Text)]
    if not texts:
        return frozenset()
    with readable(f"view {name}"):
        rows = connection.execute(select(*Table(name, MetaData(), *texts).columns).limit(ROWS_LOOKED_AT)).all()
    return frozenset(
        column.name
        for column, *values in zip(texts, *rows, strict=True)
        if (known := [value for value in values if value is not None]) and all(map(_is_time, known))
    )


def _is_time(value: Any) -> bool:
    return isinstance(value, str) and _TIME.fullmatch(value) is not None


def _utc(type_: Any) -> Any:
    """Return a type that reads a time in UTC, whatever the time zone of the session, and any other type as it is."""
    return UtcDateTime() if isinstance(type_, DateTime) and type_.timezone else type_
