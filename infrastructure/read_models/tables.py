"""The tables of projections: made when a ledger first needs them, one for each generation of a view."""

from __future__ import annotations

from collections.abc import Iterable

from sqlalchemy import Connection, Engine, MetaData, Table, func, inspect, quoted_name, select
from sqlalchemy.schema import DDL, CreateTable, DropTable

from ...projections.projection import Projection
from ..errors import NotALedger
from ..event_store.view_store import reading, writing
from . import checkpoints as positions
from .checkpoints import BUILDING, LIVE, METADATA, PROJECTIONS, STOPPED, Checkpoint

_INSTALLING = 0x5A6A_1ED6  # any number, as long as every sagaledger takes the same advisory lock


def install(engine: Engine, projections: Iterable[Projection]) -> None:
    """Make the tables of projections that the database does not have yet; they stand at position 0.

    A view whose version is not the declared one is stopped, visibly, until it is rebuilt.
    Raises `NotALedger` when a table of somebody else's has a view's name.
    """
    wanted = list(projections)
    if not _differing(engine, wanted):
        return
    with writing(engine) as connection:
        if connection.dialect.name == "postgresql":  # two that create one table at once would collide in its catalogue
            connection.execute(select(func.pg_advisory_xact_lock(_INSTALLING)))
        METADATA.create_all(connection)
        known = {standing.name: standing for standing in positions.standings(connection) if standing.status != BUILDING}
        for projection in wanted:
            standing = known.get(projection.name)
            if standing is None:
                _create(connection, projection)
            elif standing.version != projection.version and standing.status == LIVE:
                positions.change(connection, standing, status=STOPPED, error=outdated(standing, projection))


def outdated(standing: Checkpoint, projection: Projection) -> str:
    """Why a view of another version than the declared one is of no use."""
    return (
        f"view {projection.name!r} was made by version {standing.version} of its projection, and version "
        f"{projection.version} is declared: run `sagaledger projections rebuild {projection.name}`"
    )


def generation_table(projection: Projection, generation: int, *, name: str | None = None) -> Table:
    """The table of one generation of a view, under the view's name or another.

    Its indexes bear the generation, because PostgreSQL keeps their names apart in the whole schema, and two
    generations of a view are there at once while it is rebuilt.
    """
    table = projection.table.to_metadata(MetaData(), name=name or projection.name)
    for index in table.indexes:
        index.name = quoted_name(f"{index.name}_g{generation}", None)
    return table


def rebuild_table(projection: Projection, generation: int) -> Table:
    """The table that a rebuild fills."""
    return generation_table(projection, generation, name=f"{projection.name}__rebuild")


def create(connection: Connection, table: Table) -> None:
    """Make a table and its indexes. Raises `NotALedger` if there is one of that name."""
    if inspect(connection).has_table(table.name):
        raise NotALedger(
            f"the database has a table {table.name!r} that is no view of this ledger: "
            "rename it, or give the ledger a database or schema of its own"
        )
    connection.execute(CreateTable(table))
    for index in sorted(table.indexes, key=lambda index: str(index.name)):
        index.create(connection)


def drop(connection: Connection, table: Table) -> None:
    """Remove a table, if it is there."""
    connection.execute(DropTable(table, if_exists=True))


def rename(connection: Connection, table: Table, name: str) -> None:
    """Give a table another name."""
    quoted = connection.dialect.identifier_preparer.quote(name)
    statement = DDL(  # type: ignore[no-untyped-call]
        "ALTER TABLE %(fullname)s RENAME TO %(new_name)s", context={"new_name": quoted}
    )
    connection.execute(statement.against(table))


def _differing(engine: Engine, wanted: list[Projection]) -> bool:
    """Whether the database lacks one of these views, or follows one in another version."""
    with reading(engine) as connection:
        if not inspect(connection).has_table(PROJECTIONS.name):
            return True
        known = {s.name: s for s in positions.standings(connection) if s.status != BUILDING}
    return any(
        projection.name not in known
        or (known[projection.name].status == LIVE and known[projection.name].version != projection.version)
        for projection in wanted
    )


def _create(connection: Connection, projection: Projection) -> None:
    generation = 1
    create(connection, generation_table(projection, generation))
    positions.add(connection, projection.name, generation, projection.version, LIVE)
