"""The roles of a ledger: who may do what in its database. PostgreSQL alone has roles."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Final, NamedTuple

from ...domain.errors import InvalidInput
from ..errors import NotSupported
from .connect import require_posix
from .database_url import postgres_url

DEFAULT_PREFIX: Final = "sagaledger"
_NAME: Final = re.compile(r"[^\W\d][\w-]*")
_NAME_BYTES_MAX: Final = 63


class RoleNames(NamedTuple):
    """The names of a ledger's roles."""

    owner: str
    app: str
    requester: str
    reader: str

    @classmethod
    def of(cls, prefix: str, others: Mapping[str, str]) -> RoleNames:
        """Return `<prefix>_owner` and so on, but for the roles that have other names. Raises `InvalidInput`."""
        unknown = sorted(others.keys() - set(cls._fields))
        if unknown:
            raise InvalidInput(f"there is no role {unknown[0]!r} of a ledger: there are {', '.join(cls._fields)}")
        names = cls(*(others.get(role, f"{prefix}_{role}") for role in cls._fields))
        for name in names:
            if not _NAME.fullmatch(name) or name.startswith("pg_") or len(name.encode()) > _NAME_BYTES_MAX:
                raise InvalidInput(
                    f"{name[:80]!r} cannot be the name of a ledger's role: use up to {_NAME_BYTES_MAX} letters, "
                    "digits, _ and -, with a letter first, and not pg_"
                )
        if len(set(names)) < len(names):
            raise InvalidInput(f"each of a ledger's roles needs a name of its own, and these are {', '.join(names)}")
        return names


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
