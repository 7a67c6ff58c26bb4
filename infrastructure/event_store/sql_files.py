"""The SQL of a backend, read from its folder `sql/`.

`queries/<name>.sql` is one statement, below a comment that says what it returns. `migrations/NNNN_<what>/` is the step
to version NNNN of the schema: its files, one for each object, are executed in the order of their numbers. `roles/` has
what gives PostgreSQL's roles their rights.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import cache
from importlib.resources import files
from importlib.resources.abc import Traversable
from itertools import dropwhile
from types import MappingProxyType
from typing import NamedTuple


class Migration(NamedTuple):
    """A step from one version of the schema to the next."""

    version: int
    sql: str


@cache
def queries(dialect: str) -> Mapping[str, str]:
    """Return the statements of a dialect by name."""
    statements = {name.removesuffix(".sql"): _statement(text) for name, text in _texts(_sql(dialect) / "queries")}
    return MappingProxyType(statements)


@cache
def migrations(dialect: str) -> tuple[Migration, ...]:
    """Return the migrations of a dialect, oldest first."""
    folders = sorted((_sql(dialect) / "migrations").iterdir(), key=lambda folder: folder.name)
    return tuple(Migration(int(folder.name[:4]), "\n".join(text for _, text in _texts(folder))) for folder in folders)


def role_files() -> list[str]:
    """Return the files of the roles in PostgreSQL, in the order in which they are executed."""
    return [text for _, text in _texts(_sql("postgres") / "roles")]


def schema_version(dialect: str) -> int:
    """Return the version of the schema that this code reads and writes."""
    return migrations(dialect)[-1].version


def _sql(dialect: str) -> Traversable:
    return files(__package__) / dialect / "sql"


def _texts(folder: Traversable) -> list[tuple[str, str]]:
    """Return the name and the text of each SQL file in a folder, in order."""
    return sorted(
        (entry.name, entry.read_text(encoding="utf-8")) for entry in folder.iterdir() if entry.name.endswith(".sql")
    )


def _statement(text: str) -> str:
    """Return a statement without the comment above it, which need not be sent with each call."""
    return "".join(dropwhile(lambda line: line.startswith("--"), text.splitlines(keepends=True))).strip()
