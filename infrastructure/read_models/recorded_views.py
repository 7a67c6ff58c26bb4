"""Recorded views: views that the database has and no loaded app declares, read by the columns of their tables."""

from __future__ import annotations

from typing import Any

from sqlalchemy import Column, Connection, DateTime, MetaData, Table, inspect

from ...projections.column_types import UtcDateTime


def reflect(connection: Connection, name: str) -> Table:
    """Return the table of a view with the columns, types and key that the database knows.

    SQLite has no type for times: there they are text of one width, in UTC, which compares as the times do.
    Raises `sqlalchemy.exc.NoSuchTableError` if there is no such table.
    """
    database = inspect(connection)
    columns = database.get_columns(name)
    key = database.get_pk_constraint(name)["constrained_columns"]
    return Table(
        name,
        MetaData(),
        *(
            Column(
                column["name"],
                _utc(column["type"]),
                primary_key=column["name"] in key,
                nullable=column["nullable"] and column["name"] not in key,
            )
            for column in columns
        ),
    )


def _utc(type_: Any) -> Any:
    """Return a type that reads a time in UTC, whatever the time zone of the session, and any other type as it is."""
    return UtcDateTime() if isinstance(type_, DateTime) and type_.timezone else type_
