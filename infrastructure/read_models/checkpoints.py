"""Checkpoints: how far each view has folded the log, and a journal of how far it had come at any time.

`projections` has one row for each generation of a view that is live or being built; a rebuild makes the next
generation. `projection_journal` has one row for each batch that a live generation committed, so that time travel can
tell which position a view had reached at an instant.
"""

from __future__ import annotations

from datetime import datetime
from typing import Any, NamedTuple

import msgspec
from sqlalchemy import (
    BigInteger,
    Column,
    Connection,
    Index,
    Integer,
    MetaData,
    Table,
    Text,
    and_,
    delete,
    insert,
    inspect,
    select,
    tuple_,
    update,
)
from sqlalchemy.ext.compiler import compiles
from sqlalchemy.sql.functions import FunctionElement

from ...projections.column_types import UtcDateTime
from ...projections.column_values import storable_text
from ..errors import DamagedLedger
from .readable import readable

LIVE = "live"
"""The generation follows the log, and its table has the view's name."""
BUILDING = "building"
"""A rebuild fills the generation's table, which does not have the view's name yet."""
STOPPED = "stopped"
"""The generation met an event that it cannot fold, and waits in front of it."""
ABSENT = "absent"
"""The database does not have the view; no row of `projections` ever says so."""

METADATA = MetaData()
PROJECTIONS = Table(
    "projections",
    METADATA,
    Column("name", Text, primary_key=True),
    Column("generation", Integer, primary_key=True),
    Column("version", Integer, nullable=False),
    Column("position", BigInteger, nullable=False),
    Column("status", Text, nullable=False),
    Column("error", Text),
    Column("stopped_at_position", BigInteger),
    Column("updated_at", UtcDateTime, nullable=False),
)
JOURNAL = Table(
    "projection_journal",
    METADATA,
    Column("projection", Text, primary_key=True),
    Column("to_position", BigInteger, primary_key=True),
    Column("generation", Integer, primary_key=True),
    Column("from_position", BigInteger, nullable=False),
    Column("committed_at", UtcDateTime, nullable=False),
    Index("projection_journal_committed_at", "projection", "committed_at"),
)


class clock(FunctionElement[datetime]):  # noqa: N801  # written like the SQL function that it stands for
    """The database's clock: the present moment, not the start of the transaction."""

    type = UtcDateTime()
    inherit_cache = True


@compiles(clock, "postgresql")
def _postgres_clock(*_: Any, **__: Any) -> str:
    return "clock_timestamp()"


@compiles(clock, "sqlite")
def _sqlite_clock(*_: Any, **__: Any) -> str:
    return "strftime('%Y-%m-%d %H:%M:%f000+00:00', 'now')"


class Checkpoint(NamedTuple):
    """How far one generation of a view has folded the log."""

    name: str
    generation: int
    version: int
    """The version of the projection that made it."""
    position: int
    status: str
    error: str | None
    stopped_at_position: int | None
    updated_at: datetime | None
    """None if the view is absent."""


def absent(name: str, version: int) -> Checkpoint:
    """Return the checkpoint of a view that the database does not have: it has folded nothing."""
    return Checkpoint(name, 0, version, 0, ABSENT, None, None, None)


def exist(connection: Connection) -> bool:
    """Whether the database has the table of checkpoints."""
    return inspect(connection).has_table(PROJECTIONS.name)


def read_all(connection: Connection) -> list[Checkpoint]:
    """Return the checkpoints of every generation of every view, by name and generation."""
    return _read(connection, select(PROJECTIONS).order_by(PROJECTIONS.c.name, PROJECTIONS.c.generation))


def read_current(connection: Connection) -> dict[str, Checkpoint]:
    """Return the checkpoint of each view's current generation, by name."""
    return {checkpoint.name: checkpoint for checkpoint in read_all(connection) if checkpoint.status != BUILDING}


def current(connection: Connection, name: str) -> Checkpoint | None:
    """Return the generation whose table has the view's name; None if the database does not have the view."""
    return _one(connection, name, PROJECTIONS.c.status != BUILDING)


def building(connection: Connection, name: str) -> Checkpoint | None:
    """Return the generation that a rebuild has begun; None if there is none."""
    return _one(connection, name, PROJECTIONS.c.status == BUILDING)


def _one(connection: Connection, name: str, which: Any) -> Checkpoint | None:
    found = _read(connection, select(PROJECTIONS).where(PROJECTIONS.c.name == name, which))
    if len(found) > 1:
        raise DamagedLedger(f"table {PROJECTIONS.name} has {len(found)} generations of view {name} where one can be")
    return found[0] if found else None


def _read(connection: Connection, statement: Any) -> list[Checkpoint]:
    with readable(f"table {PROJECTIONS.name}"):
        return [msgspec.convert(tuple(row), Checkpoint) for row in connection.execute(statement)]


def lock(connection: Connection, names: list[str]) -> list[Checkpoint]:
    """Lock every generation of these views until the transaction ends.

    Every transaction locks them in the same order, so that two of them cannot wait for each other.
    """
    statement = (
        select(PROJECTIONS)
        .where(PROJECTIONS.c.name.in_(names))
        .order_by(PROJECTIONS.c.name, PROJECTIONS.c.generation)
        .with_for_update()
    )
    return _read(connection, statement)


def add(connection: Connection, name: str, generation: int, version: int, status: str) -> Checkpoint:
    """Record a generation that has folded nothing yet."""
    added = insert(PROJECTIONS).values(
        name=name, generation=generation, version=version, position=0, status=status, updated_at=clock()
    )
    return Checkpoint(*connection.execute(added.returning(*PROJECTIONS.columns)).one())


def change(connection: Connection, checkpoint: Checkpoint, **values: Any) -> None:
    """Set columns of a generation's row."""
    connection.execute(update(PROJECTIONS).where(_row_of(checkpoint)).values(**values, updated_at=clock()))


def stop(connection: Connection, checkpoint: Checkpoint, position: int, error: str) -> None:
    """Record that a generation stops in front of an event, and why."""
    change(connection, checkpoint, status=STOPPED, error=storable_text(error), stopped_at_position=position)


def remove(connection: Connection, checkpoint: Checkpoint) -> None:
    """Remove a generation's row; the journal keeps its entries."""
    connection.execute(delete(PROJECTIONS).where(_row_of(checkpoint)))


def move(connection: Connection, moves: list[tuple[Checkpoint, int]]) -> None:
    """Move generations that this transaction has locked to a position each; the journal records the live ones."""
    moves = [(checkpoint, position) for checkpoint, position in moves if position > checkpoint.position]
    for position in {position for _, position in moves}:
        keys = [(checkpoint.name, checkpoint.generation) for checkpoint, to in moves if to == position]
        rows = tuple_(PROJECTIONS.c.name, PROJECTIONS.c.generation).in_(keys)
        connection.execute(update(PROJECTIONS).where(rows).values(position=position, updated_at=clock()))
    record_moves(connection, [(moved, position) for moved, position in moves if moved.status != BUILDING])


def record_moves(connection: Connection, moves: list[tuple[Checkpoint, int]]) -> None:
    """Enter in the journal that each generation moved from its checkpoint to a position."""
    entries = [
        {
            "projection": checkpoint.name,
            "generation": checkpoint.generation,
            "from_position": checkpoint.position,
            "to_position": position,
        }
        for checkpoint, position in moves
    ]
    if entries:
        connection.execute(insert(JOURNAL).values(committed_at=clock()), entries)


def position_at(connection: Connection, name: str, instant: datetime) -> int:
    """Return the position that a view had reached at an instant; 0 before its first batch."""
    latest = (
        select(JOURNAL.c.to_position)
        .where(JOURNAL.c.projection == name, JOURNAL.c.committed_at <= instant)
        .order_by(JOURNAL.c.committed_at.desc(), JOURNAL.c.to_position.desc())
        .limit(1)
    )
    with readable(f"table {JOURNAL.name}"):
        return msgspec.convert(connection.execute(latest).scalar() or 0, int)


def now(connection: Connection) -> datetime:
    """Return the time by the database's clock."""
    return connection.execute(select(clock())).scalar_one()


def _row_of(checkpoint: Checkpoint) -> Any:
    return and_(PROJECTIONS.c.name == checkpoint.name, PROJECTIONS.c.generation == checkpoint.generation)
