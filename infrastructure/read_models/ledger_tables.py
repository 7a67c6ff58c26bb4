"""The tables of the ledgers in a database, for tools that look at all tables of it, such as Alembic."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import cache
from typing import Any, Final

from sqlalchemy import Connection, MetaData, inspect, select

from ..event_store.schema_objects import VERSIONS, declared_tables
from . import checkpoints, declarations, following
from .checkpoints import BUILDING, PROJECTIONS

IncludeName = Callable[[str | None, str, Mapping[str, Any]], bool]
"""What Alembic asks for each name that it finds: the name, its type, and the names of what it belongs to."""

_OF_EVERY_VIEW: Final = frozenset(
    name for metadata in (checkpoints.METADATA, declarations.METADATA, following.METADATA) for name in metadata.tables
)


def outside_ledger(connection: Connection) -> IncludeName:
    """Return the `include_name` with which Alembic leaves the tables of ledgers alone.

    `connection`: that of `context.configure`. It is not used before Alembic asks, so that no transaction begins early.
    """
    tables = cache(lambda: ledger_tables(connection))

    def include_name(name: str | None, type_: str, parent_names: Mapping[str, Any]) -> bool:
        if type_ != "table" or name is None:
            return True
        return (_schema_of(connection, parent_names.get("schema_name")), name) not in tables()

    return include_name


def ledger_tables(connection: Connection) -> set[tuple[str, str]]:
    """Return the tables of every ledger in a database, each with its schema: those of the log and those of views."""
    database = inspect(connection)
    return {
        (schema, table)
        for schema in database.get_schema_names()
        if database.has_table(VERSIONS, schema=schema)
        for table in (*declared_tables(connection.dialect.name), *_views_in(connection, schema))
    }


def _views_in(connection: Connection, schema: str) -> set[str]:
    """Return the tables of views in a schema: those that `projections` names, and those beside it."""
    found = set(_OF_EVERY_VIEW)
    if not inspect(connection).has_table(PROJECTIONS.name, schema=schema):
        return found
    recorded = PROJECTIONS.to_metadata(MetaData(), schema=schema)
    for name, status in connection.execute(select(recorded.c.name, recorded.c.status)):
        found.add(checkpoints.name_of_rebuild(name) if status == BUILDING else name)
    return found


def _schema_of(connection: Connection, name: str | None) -> str:
    """Return the name of a schema; Alembic calls the one that the connection works in None."""
    return name or inspect(connection).default_schema_name or ""
