"""The names of a ledger's roles, which an administrator chooses."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Final, NamedTuple

from ...domain.errors import InvalidInput

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
