"""The objects of a ledger's schema: those that its migrations create, compared with those that the database has.

A migration says what it creates; its text is the reference. The text of triggers is compared, and that of the functions
which a migration creates with `OR REPLACE`: earlier ones may have been written with other comments. Added objects
are not looked for.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Final, NamedTuple

from .sql_files import migrations, schema_version

VERSIONS: Final = "sagaledger_schema"
"""The table that records the versions of a schema: where it is, there is a ledger."""

_TABLE: Final = re.compile(r"^CREATE TABLE (\w+) \((.*?)^\)", re.MULTILINE | re.DOTALL)
_PRIMARY_KEY: Final = re.compile(r"\bPRIMARY KEY\b")
_KEY: Final = re.compile(r"^ +UNIQUE \(([\w, ]+)\)|^ +(\w+) .*\bUNIQUE\b", re.MULTILINE)
_CHECK: Final = re.compile(r"^ +(\w+) .*\bCHECK\b", re.MULTILINE)
_INDEX: Final = re.compile(r"^CREATE INDEX (\w+)", re.MULTILINE)
_CONSTRAINT: Final = re.compile(r"\bADD CONSTRAINT (\w+)")
_TRIGGER: Final = re.compile(r"^CREATE TRIGGER (\w+).*?(?:\bEND|\(\))(?=;)", re.MULTILINE | re.DOTALL)
_FUNCTION: Final = re.compile(r"^CREATE OR REPLACE FUNCTION (\w+)\(.*?\$\$(.*?)\$\$;", re.MULTILINE | re.DOTALL)


class SchemaObjects(NamedTuple):
    """The tables, indexes and constraints of a schema by name, and its triggers and functions with their text."""

    names: frozenset[str]
    texts: Mapping[str, str]

    @property
    def triggers(self) -> set[str]:
        """The names of the triggers."""
        return {name for name, text in self.texts.items() if text.startswith("CREATE TRIGGER")}


def declared(dialect: str, version: int) -> SchemaObjects:
    """Return what the migrations of a dialect create up to a version."""
    script = "\n".join(migration.sql for migration in migrations(dialect) if migration.version <= version)
    names = {found[1] for pattern in (_TABLE, _INDEX, _CONSTRAINT) for found in pattern.finditer(script)}
    if dialect == "postgres":
        names |= {name for table in _TABLE.finditer(script) for name in _constraints(table[1], table[2])}
    texts = {found[1]: _collapsed(found[0]) for found in _TRIGGER.finditer(script)}
    texts |= {found[1]: _collapsed(found[2]) for found in _FUNCTION.finditer(script)}
    return SchemaObjects(frozenset(names), texts)


def declared_tables(dialect: str) -> frozenset[str]:
    """Return the tables of a ledger without its views, by the name that SQLAlchemy gives to the dialect."""
    script = "\n".join(migration.sql for migration in migrations(dialect.replace("postgresql", "postgres")))
    return frozenset({VERSIONS, *(found[1] for found in _TABLE.finditer(script))})


def _constraints(table: str, columns: str) -> Iterator[str]:
    """Yield the names that PostgreSQL gives the keys and checks of a table. SQLite cannot drop one from a table."""
    if _PRIMARY_KEY.search(columns):
        yield f"{table}_pkey"
    for key in _KEY.finditer(columns):
        yield "_".join([table, *(key[1] or key[2]).split(", "), "key"])
    for check in _CHECK.finditer(columns):
        yield f"{table}_{check[1]}_check"


def schema_objects(rows: Iterable[tuple[str, str | None]]) -> SchemaObjects:
    """Return the objects that a database lists: name, and the text of a trigger or a function."""
    found = list(rows)
    texts = {name: _collapsed(text) for name, text in found if text is not None}
    return SchemaObjects(frozenset(name for name, text in found if text is None), texts)


def differences(dialect: str, versions: Sequence[int], actual: SchemaObjects) -> list[str]:
    """Say how a database differs from what its migrations made. `versions` are those that it records, in order."""
    applied = len(versions)
    if list(versions) != list(range(1, applied + 1)):
        return [f"table sagaledger_schema records the versions {', '.join(map(str, versions))}, which has a gap"]
    expected = declared(dialect, applied)
    problems = [f"{name} is missing from the schema" for name in sorted(expected.names - actual.names)]
    for name, text in sorted(expected.texts.items()):
        if name not in actual.texts:
            problems.append(f"the trigger or function {name}, which protects the log, is missing or disabled")
        elif actual.texts[name] != text:
            problems.append(f"the trigger or function {name}, which protects the log, was altered")
    later = declared(dialect, schema_version(dialect)).triggers - expected.triggers
    problems += [
        f"table sagaledger_schema ends at version {applied}, and {name} of a later version exists"
        for name in sorted(later & actual.texts.keys())
    ]
    return problems


def _collapsed(text: str) -> str:
    """Return a text with single spaces: a database breaks its lines elsewhere."""
    return " ".join(text.split())
