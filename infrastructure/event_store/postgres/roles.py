"""The roles of a ledger in PostgreSQL, whose rights are in `sql/roles/`: one file for each role."""

from __future__ import annotations

from psycopg.errors import InsufficientPrivilege, InvalidRoleSpecification
from psycopg.sql import SQL, Identifier, Literal

from ....domain.errors import InvalidInput
from ...errors import PermanentlyUnavailable
from ..role_names import RoleNames
from ..sql_files import role_files
from .database import PostgresDatabase
from .server_errors import first_line


def statements(schema: str, names: RoleNames) -> str:
    """Return the SQL that creates the roles which do not exist, and gives each its rights on the ledger in a schema."""
    literals = {f"{role}_name": Literal(name) for role, name in names._asdict().items()}
    literals |= {
        "schema_name": Literal(schema),
        "views_name": Literal(Identifier(schema, "projections").as_string(None)),
    }
    identifiers = {role: Identifier(name) for role, name in names._asdict().items()} | {"schema": Identifier(schema)}
    return "\n".join(SQL(text).format(**literals, **identifiers).as_string(None) for text in role_files())


def create_roles(url: str, names: RoleNames) -> None:
    """Create the roles which do not exist, and give each its rights on the ledger at a URL, in one transaction.

    Raises `PermanentlyUnavailable` for a role that may not do that, and `InvalidInput` for a name that cannot be used.
    """
    database = PostgresDatabase(url, connections=1)
    try:
        with database.transaction() as connection:
            try:
                connection.execute(statements(database.schema, names).encode())
            except InsufficientPrivilege as error:
                raise PermanentlyUnavailable(
                    f"{database.description} refuses role {connection.info.user!r} the creation of the ledger's roles "
                    f"({first_line(error)}): let an administrator run `sagaledger init --roles`, or give them the SQL "
                    "that `sagaledger init --roles --print` prints"
                ) from error
            except InvalidRoleSpecification as error:
                raise InvalidInput(f"{first_line(error)}: give the ledger's role another name") from error
    finally:
        database.close()


def printed_roles(url: str, names: RoleNames) -> str:
    """Return the SQL for an administrator of the ledger at a URL, as a script of one transaction."""
    database = PostgresDatabase(url, connections=1)
    try:
        return f"BEGIN;\n\n{statements(database.schema, names)}\nCOMMIT;\n"
    finally:
        database.close()
