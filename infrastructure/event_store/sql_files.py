"""The SQL of a backend, read from its folder `sql/`.

`queries.sql` holds the named statements: each begins with a line `-- name: <name>`. `NNNN_<what>.sql` are the
migrations: applying them in order gives the schema of version NNNN.
"""

from __future__ import annotations

import re
from functools import cache
from importlib.resources import files
from importlib.resources.abc import Traversable
from types import MappingProxyType
from typing import NamedTuple

_NAME = re.compile(r"^-- name: (\w+)\n", re.MULTILINE)
_MIGRATION = re.compile(r"^(\d{4})_\w+\.sql$")


class Migration(NamedTuple):
    """A step from one version of the schema to the next."""

    version: int
    sql: str


def _folder(dialect: str) -> Traversable:
    return files(__package__) / dialect / "sql"


@cache
def queries(dialect: str) -> MappingProxyType[str, str]:
    """The named statements of a dialect."""
    _, *parts = _NAME.split((_folder(dialect) / "queries.sql").read_text(encoding="utf-8"))
    return MappingProxyType({name: sql.strip() for name, sql in zip(parts[::2], parts[1::2], strict=True)})


@cache
def migrations(dialect: str) -> tuple[Migration, ...]:
    """The migrations of a dialect, oldest first."""
    found = [
        Migration(int(match.group(1)), entry.read_text(encoding="utf-8"))
        for entry in _folder(dialect).iterdir()
        if (match := _MIGRATION.match(entry.name))
    ]
    return tuple(sorted(found))


def schema_version(dialect: str) -> int:
    """The version of the schema that this code reads and writes."""
    return migrations(dialect)[-1].version
