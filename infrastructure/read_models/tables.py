"""The tables of views: created by what writes to them, one table for each generation of a view."""

from __future__ import annotations

from collections.abc import Iterable

from sqlalchemy import Connection, MetaData, Table, inspect, quoted_name
from sqlalchemy.schema import DDL, CreateTable, DropTable

from ...projections.projection import Projection
from ...projections.view_version import is_of_declaration, is_older
from ..errors import NotALedger
from ..event_store.view_store import ViewStore
from . import checkpoints
from .checkpoints import LIVE, METADATA, STOPPED, Checkpoint


def install(views: ViewStore, projections: Iterable[Projection]) -> None:
    """Create the tables of the projections that the database does not have yet; their views start at position 0.

    A view that an older version of its projection made is stopped until it is rebuilt. One that a newer version made
    is left alone: it belongs to newer programs.

    Raises `NotALedger` when a table that is no view of this ledger has a view's name.
    """
    wanted = list(projections)
    if not _anything_to_install(views, wanted):
        return
    with views.writing() as connection:
        views.lock_installation(connection)
        METADATA.create_all(connection)
        recorded = checkpoints.read_current(connection)
        for projection in wanted:
            checkpoint = recorded.get(projection.name)
            if checkpoint is None:
                create(connection, generation_table(projection, 1))
                checkpoints.add(connection, projection.name, 1, projection.version, LIVE)
            elif _must_stop(checkpoint, projection):
                checkpoints.change(
                    connection, checkpoint, status=STOPPED, error=version_mismatch(checkpoint, projection.version)
                )


def version_mismatch(checkpoint: Checkpoint, declared: int) -> str:
    """Say why a view of another version than the declared one is of no use, and what to do."""
    name, version = checkpoint.name, checkpoint.version
    if is_of_declaration(declared):
        return (
            f"view {name!r} was made by an app that declares other search attributes than the app in use: "
            f"run `sagaledger projections rebuild {name}` with the app whose attributes it is to have"
        )
    if version < declared:
        return (
            f"view {name!r} was made by version {version} of its projection, and version {declared} is declared: "
            f"run `sagaledger projections rebuild {name}`"
        )
    return (
        f"view {name!r} was made by version {version} of its projection, which is newer than version {declared}, "
        f"declared here: use the newer program (`sagaledger projections rebuild {name}` with this one goes back)"
    )


def generation_table(projection: Projection, generation: int, *, name: str | None = None) -> Table:
    """Return the table of one generation of a view, under the view's name or another.

    The names of its indexes contain the generation: they are unique in a PostgreSQL schema, and during a rebuild it
    has two generations of the view.
    """
    table = projection.table.to_metadata(MetaData(), name=name or projection.name)
    for index in table.indexes:
        index.name = quoted_name(f"{index.name}_g{generation}", None)
    return table


def rebuild_table(projection: Projection, generation: int) -> Table:
    """Return the table that a rebuild fills."""
    return generation_table(projection, generation, name=f"{projection.name}__rebuild")


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
    """Rename a table."""
    quoted = connection.dialect.identifier_preparer.quote(name)
    statement = DDL(  # type: ignore[no-untyped-call]
        "ALTER TABLE %(fullname)s RENAME TO %(new_name)s", context={"new_name": quoted}
    )
    connection.execute(statement.against(table))


def _anything_to_install(views: ViewStore, wanted: list[Projection]) -> bool:
    """Whether `install` would write: to find that out takes no lock."""
    with views.reading() as connection:
        if not checkpoints.exist(connection):
            return True
        recorded = checkpoints.read_current(connection)
    return any(
        projection.name not in recorded or _must_stop(recorded[projection.name], projection) for projection in wanted
    )


def _must_stop(checkpoint: Checkpoint, projection: Projection) -> bool:
    return checkpoint.status == LIVE and is_older(checkpoint.version, projection.version)
