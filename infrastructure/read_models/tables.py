"""The tables of views: created by what writes to them, one table for each generation of a view."""

from __future__ import annotations

from collections.abc import Iterable

from sqlalchemy import Connection, MetaData, Table, inspect, quoted_name, text
from sqlalchemy.schema import DDL, CreateTable, DropTable

from ...projections.projection import Projection
from ...projections.view_version import is_of_declaration
from ..errors import NotALedger
from ..event_store.view_store import ViewStore
from . import checkpoints
from .checkpoints import LIVE, METADATA, Checkpoint
from .declarations import check_declarations
from .following import install_notes

_LEAVE_REFERENCES = text("PRAGMA legacy_alter_table = ON")
_FOLLOW_REFERENCES = text("PRAGMA legacy_alter_table = OFF")


def install(views: ViewStore, projections: Iterable[Projection]) -> None:
    """Create the tables of the projections that the database does not have yet; their views start at position 0.

    A view that another version of its projection made is left alone (see `generations`).

    Raises `NotALedger` when a table that is no view of this ledger has a view's name, and `ProjectionChanged` when the
    table of a declared version is another one than the declared.
    """
    wanted = list(projections)
    if _anything_to_install(views, wanted):
        _install(views, wanted)
    install_notes(views)
    check_declarations(views, wanted)


def _install(views: ViewStore, wanted: list[Projection]) -> None:
    with views.writing() as connection:
        views.lock_installation(connection)
        METADATA.create_all(connection)
        recorded = checkpoints.read_current(connection)
        for projection in wanted:
            if projection.name not in recorded:
                create(connection, generation_table(projection, 1))
                checkpoints.add(connection, projection.name, 1, projection.version, LIVE)


def version_mismatch(checkpoint: Checkpoint, declared: int) -> str:
    """Say why a view of another version than the declared one is of no use, and what to do."""
    name, version = checkpoint.view, checkpoint.version
    if is_of_declaration(declared):
        return (
            f"view {name!r} was made by an app that declares other search attributes than the app in use: "
            f"run `sagaledger projections rebuild {name}` with the app whose attributes it is to have"
        )
    if version < declared:
        return (
            f"view {name!r} was made by version {version} of its projection, and version {declared} is declared: "
            f"a worker of this app builds that one, and so does `sagaledger projections rebuild {name}`"
        )
    return (
        f"view {name!r} was made by version {version} of its projection, which is newer than version {declared}, "
        f"declared here: use the newer program (`sagaledger projections rebuild {name}` with this one goes back)"
    )


def generation_table(projection: Projection, generation: int | str, *, name: str | None = None) -> Table:
    """Return the table of one generation of a view, under the view's name or another.

    The names of its indexes contain the generation: they are unique in a PostgreSQL schema, which may have several
    generations of the view. A table keeps the names of its indexes when it is renamed.
    """
    table = projection.table.to_metadata(MetaData(), name=name or projection.name)
    for index in table.indexes:
        index.name = quoted_name(f"{index.name}_g{generation}", None)
    return table


def rebuild_table(projection: Projection, generation: int) -> Table:
    """Return the table that a rebuild fills."""
    return generation_table(projection, generation, name=checkpoints.name_of_rebuild(projection.name))


def table_beside(projection: Projection) -> Table:
    """Return the table that the projection's version has while another one has the view's name."""
    name = checkpoints.name_beside(projection.name, projection.version)
    return generation_table(projection, f"1_{name.rpartition('__')[2]}", name=name)


def table_named(projection: Projection, name: str) -> Table:
    """Return the projection's table under the name that its generation has."""
    return projection.table if name == projection.name else projection.table.to_metadata(MetaData(), name=name)


def create(connection: Connection, table: Table) -> None:
    """Create a table and its indexes. Raises `NotALedger` if there is a table of that name."""
    if inspect(connection).has_table(table.name):
        raise NotALedger(
            f"the database has a table {table.name!r} that is no view of this ledger: "
            "rename it, or give the ledger a database or schema of its own"
        )
    connection.execute(CreateTable(table))
    for index in sorted(table.indexes, key=lambda index: str(index.name)):
        index.create(connection)


def drop(connection: Connection, table: Table) -> None:
    """Drop a table if it exists."""
    connection.execute(DropTable(table, if_exists=True))


def rename(connection: Connection, table: Table, name: str) -> None:
    """Rename a table. The SQL views and triggers that others made on SQLite go on naming what they name."""
    quoted = connection.dialect.identifier_preparer.quote(name)
    statement = DDL(  # type: ignore[no-untyped-call]
        "ALTER TABLE %(fullname)s RENAME TO %(new_name)s", context={"new_name": quoted}
    )
    if connection.dialect.name != "sqlite":
        connection.execute(statement.against(table))
        return
    connection.execute(_LEAVE_REFERENCES)
    connection.execute(statement.against(table))
    connection.execute(_FOLLOW_REFERENCES)


def _anything_to_install(views: ViewStore, wanted: list[Projection]) -> bool:
    """Whether `install` would write: to find that out takes no lock."""
    with views.reading() as connection:
        if not checkpoints.exist(connection):
            return True
        recorded = checkpoints.read_current(connection)
    return any(projection.name not in recorded for projection in wanted)
