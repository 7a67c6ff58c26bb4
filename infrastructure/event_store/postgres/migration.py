"""Creating a ledger's schema, and upgrading it to the version of this code."""

from __future__ import annotations

from typing import Any, Final

from psycopg import Connection, sql
from psycopg.errors import InsufficientPrivilege

from ...errors import NotALedger, PermanentlyUnavailable
from ..schema_objects import VERSIONS
from ..sql_files import migrations, queries
from .server_errors import first_line

_SQL: Final = queries("postgres")
_CREATE_SCHEMA: Final = sql.SQL("CREATE SCHEMA {}")


def migrate(connection: Connection[Any], schema: str, place: str) -> None:
    """Create a ledger in a schema, which is created too, or upgrade it, within a transaction of the caller.

    What is created belongs to the owner of the ledger, if there is one already and the role may act as it.
    Raises `NotALedger` for a schema that has the tables of another program, and `PermanentlyUnavailable`.
    """
    connection.execute(_SQL["lock_migrations"], (schema,))
    _create_schema(connection, schema, place)
    connection.execute(_SQL["as_owner_of"], (VERSIONS,))
    tables = [name for (name,) in connection.execute(_SQL["table_names"])]
    if tables and VERSIONS not in tables:
        raise NotALedger(
            f"schema {schema!r} of {place} holds tables of another program ({', '.join(tables[:3])}): give the ledger "
            "a schema of its own, ?schema=NAME in its URL"
        )
    connection.execute(_SQL["create_schema_version"])
    ((stored,),) = connection.execute(_SQL["schema_version"]).fetchall()
    for migration in migrations("postgres"):
        if migration.version > stored:
            connection.execute(migration.sql)
            connection.execute(_SQL["insert_schema_version"], (migration.version,))


def _create_schema(connection: Connection[Any], schema: str, place: str) -> None:
    """Create a schema unless it exists. Raises `PermanentlyUnavailable` for a role that may not."""
    if connection.execute(_SQL["may_use_schema"], (schema,)).fetchone() is not None:
        return
    try:
        connection.execute(_CREATE_SCHEMA.format(sql.Identifier(schema)))
    except InsufficientPrivilege as error:
        raise PermanentlyUnavailable(
            f"{place} refuses to create schema {schema!r} for the ledger ({first_line(error)}): let an administrator "
            f'run CREATE SCHEMA "{schema}" AUTHORIZATION {connection.info.user}, or name a schema that exists with '
            "?schema=NAME in the URL"
        ) from error
