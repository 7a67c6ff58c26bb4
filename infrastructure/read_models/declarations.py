"""Declarations of tables: what a version of a projection declared first, so that a changed table is told as such.

Programs of one version share one table. One that declares another table under the same version would fail in the middle
of a batch, and stop the view for the others. So a projector compares, before it folds, what it declares with what is on
record for that version, and raises `ProjectionChanged` if they differ. Handlers are code, which cannot be compared.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

import msgspec
from msgspec import Struct
from sqlalchemy import Column, Connection, Dialect, Integer, MetaData, Table, Text, delete, insert, inspect, select
from sqlalchemy.schema import CreateIndex

from ...projections.projection import Projection
from ..errors import DamagedLedger, PermanentlyUnavailable, ProjectionChanged
from ..event_store.view_store import ViewStore
from . import checkpoints
from .checkpoints import Checkpoint

METADATA = MetaData()
DECLARATIONS = Table(
    "projection_declarations",
    METADATA,
    Column("view", Text, primary_key=True),
    Column("version", Integer, primary_key=True),
    Column("declared", Text, nullable=False),
)


class TableDeclaration(Struct, frozen=True):
    """The table that a version of a projection declares, as the database's SQL has it."""

    columns: dict[str, str]
    """The type of each column, and whether it must have a value."""
    key: list[str]
    indexes: dict[str, str]

    @classmethod
    def of(cls, projection: Projection, dialect: Dialect) -> TableDeclaration:
        """Return what a projection declares. Its names as plain text: SQLAlchemy has a type of its own for some."""
        columns = {
            str(column.name): column.type.compile(dialect) + ("" if column.nullable else " NOT NULL")
            for column in projection.table.columns
        }
        indexes = {
            str(index.name): str(CreateIndex(index).compile(dialect=dialect)) for index in projection.table.indexes
        }
        return cls(columns, list(map(str, projection.key_columns)), dict(sorted(indexes.items())))

    def differences(self, recorded: TableDeclaration) -> list[str]:
        """Return how it differs from another one that is on record; each names a column or an index."""
        found = list(_differing("column", self.columns, recorded.columns))
        if self.key != recorded.key:
            found.append(f"its primary key is declared as {', '.join(self.key)}, and was {', '.join(recorded.key)}")
        return found + list(_differing("index", self.indexes, recorded.indexes))


def check_declarations(views: ViewStore, projections: Iterable[Projection]) -> None:
    """Compare the tables of projections with those that their versions have, and record what is not on record yet.

    Raises `ProjectionChanged` for the first that differs.
    """
    missing = compare_declarations(views, projections)
    if missing:
        _record(views, missing)


def compare_declarations(views: ViewStore, projections: Iterable[Projection]) -> list[dict[str, Any]]:
    """Compare as `check_declarations` does, and return the rows that are not on record yet.

    A version of which nothing is on record, because an earlier release made its table, is compared with that table.
    Raises `ProjectionChanged` for the first that differs.
    """
    declared = {(p.name, p.version): TableDeclaration.of(p, views.dialect) for p in projections}
    with views.reading() as connection:
        recorded = read_declarations(connection)
        generations = checkpoints.read_current(connection)
        missing = []
        for (view, version), declaration in declared.items():
            generation = checkpoints.of_version(generations, view, version)
            if generation is None:
                continue
            on_record = recorded.get((view, version))
            if on_record is None:
                missing.append({"view": view, "version": version, "declared": _encoded(declaration)})
                differences = _differences_from_table(connection, generation, declaration)
            else:
                differences = declaration.differences(on_record)
            if differences:
                raise ProjectionChanged(view, version, differences)
    return missing


def forget_declaration(connection: Connection, generation: Checkpoint) -> None:
    """Remove what is on record for a version whose generation is dropped."""
    if inspect(connection).has_table(DECLARATIONS.name):
        row = DECLARATIONS.c
        connection.execute(delete(DECLARATIONS).where(row.view == generation.view, row.version == generation.version))


def read_declarations(connection: Connection) -> Mapping[tuple[str, int], TableDeclaration]:
    """Return what is on record, by view and version. Raises `DamagedLedger`."""
    if not inspect(connection).has_table(DECLARATIONS.name):
        return {}
    try:
        return {
            (row.view, row.version): msgspec.json.decode(row.declared, type=TableDeclaration)
            for row in connection.execute(select(DECLARATIONS))
        }
    except (msgspec.DecodeError, TypeError) as error:
        raise DamagedLedger(f"table {DECLARATIONS.name} cannot be read: {error}") from error


def _record(views: ViewStore, rows: list[dict[str, Any]]) -> None:
    """Record declarations, unless another process just did. A role that may not create tables leaves it to another."""
    try:
        with views.writing() as connection:
            views.lock_installation(connection)
            METADATA.create_all(connection)
            recorded = read_declarations(connection)
            rows = [row for row in rows if (row["view"], row["version"]) not in recorded]
            if rows:
                connection.execute(insert(DECLARATIONS), rows)
    except PermanentlyUnavailable:
        return


def _differences_from_table(connection: Connection, generation: Checkpoint, declaration: TableDeclaration) -> list[str]:
    """Return how the columns differ from those of the generation's table; nothing if it has none."""
    database = inspect(connection)
    if not database.has_table(generation.name):
        return []
    real = {column["name"]: "" for column in database.get_columns(generation.name)}
    return list(_differing("column", dict.fromkeys(declaration.columns, ""), real))


def _encoded(declaration: TableDeclaration) -> str:
    return msgspec.json.encode(declaration).decode()


def _differing(kind: str, declared: Mapping[str, str], recorded: Mapping[str, str]) -> Iterable[str]:
    for name in declared:
        if name not in recorded:
            yield f"{kind} {name!r} is declared, and the table has none of that name"
        elif declared[name] != recorded[name]:
            yield f"{kind} {name!r} is declared as {declared[name]}, and was {recorded[name]}"
    for name in recorded:
        if name not in declared:
            yield f"the table has {kind} {name!r}, which is not declared"
