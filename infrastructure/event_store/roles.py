"""The roles of a ledger: who may do what in its database. PostgreSQL alone has roles."""

from __future__ import annotations

from ..errors import NotSupported
from .connect import require_posix
from .database_url import postgres_url
from .role_names import RoleNames


def create_roles(url: str, names: RoleNames) -> None:
    """Create the roles which do not exist, and give each its rights on the ledger at a URL.

    A role that has other rights on the tables of the log loses them. Doing it again changes nothing.
    Raises `NotSupported` on SQLite, `NotALedger`, `InvalidInput` for a name of a role that has every right, and
    `PermanentlyUnavailable` for a connection whose role may not do that.
    """
    from .postgres.roles import create_roles as create  # noqa: PLC0415  # other commands do not load the driver

    create(server_of(url), names)


def printed_roles(url: str, names: RoleNames) -> str:
    """Return the SQL that `create_roles` would execute; it changes nothing. Raises `NotSupported` and `NotALedger`."""
    from .postgres.roles import printed_roles as printed  # noqa: PLC0415  # as above

    return printed(server_of(url), names)


def server_of(url: str) -> str:
    """Return a URL of PostgreSQL as its driver reads it. Raises `NotSupported` for a database without roles."""
    require_posix()
    server = postgres_url(url)
    if server is None:
        raise NotSupported("only PostgreSQL has roles; the mode of a SQLite file says who may read and write it")
    return server
