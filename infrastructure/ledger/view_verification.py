"""Verifying what is on record of views: their checkpoints, their journal, and that their tables exist."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import groupby, islice

from sqlalchemy import Connection, inspect, select

from ..errors import DamagedLedger
from ..event_store.verify import PROBLEMS_MAX, Problem
from ..read_models import checkpoints
from ..read_models.checkpoints import BUILDING, JOURNAL, LIVE, PROJECTIONS, STOPPED, Checkpoint, name_beside, of_version
from ..read_models.declarations import TableDeclaration, read_declarations
from ..read_models.readable import readable
from .context import LedgerContext


def verify_view_records(context: LedgerContext) -> list[Problem]:
    """Return what is wrong with the tables `projections` and `projection_journal`, at the position of each view.

    Everything is read in one snapshot, so that views may move meanwhile. Raises `DamagedLedger` for rows that cannot be
    read.
    """
    with context.backend.views.reading() as connection:
        return list(islice(_problems(context, connection), PROBLEMS_MAX))


def _problems(context: LedgerContext, connection: Connection) -> Iterator[Problem]:
    tables = set(inspect(connection).get_table_names())
    missing = [table.name for table in (PROJECTIONS, JOURNAL) if table.name not in tables]
    if missing and not tables.isdisjoint({PROJECTIONS.name, JOURNAL.name, *(p.name for p in context.app.projections)}):
        raise DamagedLedger(f"table {missing[0]} is missing, and there are views")
    with readable("table projections"):
        recorded = [] if missing else checkpoints.read_all(connection)
    head = context.backend.head().position
    for checkpoint in recorded:
        for detail in _wrong_with(checkpoint, recorded, tables, head):
            yield Problem(checkpoint.position, f"view {checkpoint.name}: {detail}")
    names = {checkpoint.name for checkpoint in recorded}
    for projection in context.app.projections:
        if projection.name in tables and projection.name not in names:
            yield Problem(0, f"view {projection.name}: its table exists, and table projections has no row for it")
    if not missing:
        yield from _problems_of_journal(connection, recorded)
    yield from _problems_of_declarations(context, connection, recorded)


def _wrong_with(checkpoint: Checkpoint, recorded: Sequence[Checkpoint], tables: set[str], head: int) -> Iterator[str]:
    name, status = checkpoint.name, checkpoint.status
    current = [each.generation for each in recorded if each.name == name and each.status != BUILDING]
    if not 0 <= checkpoint.position <= head:
        yield f"its position is {checkpoint.position}, and the log ends at {head}"
    if status == BUILDING:
        if checkpoint.generation - 1 not in current or f"{name}__rebuild" not in tables:
            yield f"a rebuild is on record as generation {checkpoint.generation}, and there is none"
        return
    if checkpoint.is_beside and name != name_beside(checkpoint.view, checkpoint.version):
        yield f"version {checkpoint.version} is on record for a table of another version"
    if len(current) > 1:
        yield f"{len(current)} generations of it are on record as current"
    if name not in tables:
        yield "it is on record, and its table does not exist"
    if status == STOPPED:
        yield f"it does not follow the log: it is stopped ({checkpoint.error})"
    elif status != LIVE:
        yield f"its status is {status!r}, which no view has"
    elif checkpoint.error is not None or checkpoint.stopped_at_position is not None:
        yield f"it is live, and has an error on record: {checkpoint.error}"


def _problems_of_journal(connection: Connection, recorded: Sequence[Checkpoint]) -> Iterator[Problem]:
    """Check that each generation's entries follow one another, from 0 to where the generation stands."""
    current = {checkpoint.name: checkpoint for checkpoint in recorded if checkpoint.status != BUILDING}
    ended: dict[str, tuple[int, int]] = {}
    entries = select(JOURNAL).order_by(JOURNAL.c.projection, JOURNAL.c.generation, JOURNAL.c.to_position)
    with readable("table projection_journal"):
        rows = (
            (row.projection, row.generation, row.from_position, row.to_position)
            for row in connection.execute(entries.execution_options(yield_per=1_000))
        )
        for (name, generation), steps in groupby(rows, key=lambda row: (row[0], row[1])):
            reached = 0
            for _, _, begin, end in steps:
                if begin != reached:
                    yield Problem(
                        end, f"view {name}: its journal has a step from {begin} to {end} after the one to {reached}"
                    )
                reached = end
            ended[name] = (generation, reached)
    for name, (generation, reached) in sorted(ended.items()):
        checkpoint = current.get(name)
        if checkpoint is None:
            yield Problem(reached, f"view {name}: its journal has entries, and table projections has no row for it")
        elif (checkpoint.generation, checkpoint.position) != (generation, reached):
            yield Problem(
                checkpoint.position,
                f"view {name}: generation {checkpoint.generation} is on record at position {checkpoint.position}, and "
                f"the journal ends with generation {generation} at {reached}",
            )
    for name, checkpoint in sorted(current.items()):
        if checkpoint.position > 0 and name not in ended:
            yield Problem(checkpoint.position, f"view {name}: its journal has no entry")


def _problems_of_declarations(
    context: LedgerContext, connection: Connection, recorded: Sequence[Checkpoint]
) -> Iterator[Problem]:
    """Check that what is on record for a version is what the app declares, and that there is such a version."""
    generations = {checkpoint.name: checkpoint for checkpoint in recorded if checkpoint.status != BUILDING}
    declared = {(projection.name, projection.version): projection for projection in context.app.projections}
    for (view, version), declaration in sorted(read_declarations(connection).items(), key=lambda item: item[0]):
        if of_version(generations, view, version) is None:
            yield Problem(0, f"view {view}: a declaration of version {version} is on record, and no such generation")
        projection = declared.get((view, version))
        if projection is not None:
            differences = TableDeclaration.of(projection, connection.dialect).differences(declaration)
            yield from (Problem(0, f"view {view}, version {version}: {difference}") for difference in differences)
