"""Where each projection stands, and the journal of where it stood.

`projections` has one row for each generation of a view that is live or being built; a rebuild makes the next
generation. `projection_journal` has one row for each batch that a live generation committed, so that what a view
said at any time stays answerable.
"""

from __future__ import annotations

from datetime import datetime
from typing import Any, NamedTuple

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
    select,
    tuple_,
    update,
)
from sqlalchemy.ext.compiler import compiles
from sqlalchemy.sql.functions import FunctionElement

from ...projections.column_types import UtcDateTime

LIVE = "live"
"""It follows the log, and its table bears the view's name."""
BUILDING = "building"
"""A rebuild fills its table, which is not the view's yet."""
STOPPED = "stopped"
"""It met an event that it cannot fold, and stands in front of it."""

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
    """The database's clock: the moment itself, not the start of the transaction."""

    type = UtcDateTime()
    inherit_cache = True


@compiles(clock, "postgresql")
def _postgres_clock(*_: Any, **__: Any) -> str:
    return "clock_timestamp()"


@compiles(clock, "sqlite")
def _sqlite_clock(*_: Any, **__: Any) -> str:
    return "strftime('%Y-%m-%d %H:%M:%f000+00:00', 'now')"


class Checkpoint(NamedTuple):
    """Where one generation of a projection stands."""

    name: str
    generation: int
    version: int
    position: int
    status: str
    error: str | None
    stopped_at_position: int | None
    updated_at: datetime


def standings(connection: Connection) -> list[Checkpoint]:
    """Every projection that the database has, by name and generation."""
    rows = connection.execute(select(PROJECTIONS).order_by(PROJECTIONS.c.name, PROJECTIONS.c.generation))
    return [Checkpoint(*row) for row in rows]


def current(connection: Connection, name: str) -> Checkpoint | None:
    """The generation whose table bears the view's name; None if the database does not have the view."""
    return _one(connection, name, PROJECTIONS.c.status != BUILDING)


def building(connection: Connection, name: str) -> Checkpoint | None:
    """The generation that a rebuild has begun; None if there is none."""
    return _one(connection, name, PROJECTIONS.c.status == BUILDING)


def _one(connection: Connection, name: str, which: Any) -> Checkpoint | None:
    row = connection.execute(select(PROJECTIONS).where(PROJECTIONS.c.name == name, which)).one_or_none()
    return None if row is None else Checkpoint(*row)


def lock(connection: Connection, names: list[str]) -> list[Checkpoint]:
    """Every generation of these, held until the transaction ends; always in one order, so that no two runners wait
    for each other."""
    statement = (
        select(PROJECTIONS)
        .where(PROJECTIONS.c.name.in_(names))
        .order_by(PROJECTIONS.c.name, PROJECTIONS.c.generation)
        .with_for_update()
    )
    return [Checkpoint(*row) for row in connection.execute(statement)]


def add(connection: Connection, name: str, generation: int, version: int, status: str) -> Checkpoint:
    """A generation that has folded nothing yet."""
    added = insert(PROJECTIONS).values(
        name=name, generation=generation, version=version, position=0, status=status, updated_at=clock()
    )
    return Checkpoint(*connection.execute(added.returning(*PROJECTIONS.columns)).one())


def change(connection: Connection, standing: Checkpoint, **values: Any) -> None:
    """Set columns of a generation's row."""
    connection.execute(update(PROJECTIONS).where(_is(standing)).values(**values, updated_at=clock()))


def remove(connection: Connection, standing: Checkpoint) -> None:
    """Forget a generation; the journal keeps what it did."""
    connection.execute(delete(PROJECTIONS).where(_is(standing)))


def advance(connection: Connection, moved: list[tuple[Checkpoint, int]]) -> None:
    """Move generations that this transaction has locked, each from where it stands to a position; what the live ones
    did is entered in the journal."""
    moved = [(standing, position) for standing, position in moved if position > standing.position]
    for position in {position for _, position in moved}:
        names = [(standing.name, standing.generation) for standing, to in moved if to == position]
        those = tuple_(PROJECTIONS.c.name, PROJECTIONS.c.generation).in_(names)
        connection.execute(update(PROJECTIONS).where(those).values(position=position, updated_at=clock()))
    enter(connection, [(standing, position) for standing, position in moved if standing.status != BUILDING])


def enter(connection: Connection, moved: list[tuple[Checkpoint, int]]) -> None:
    """Enter in the journal that views moved, each from where it stood to a position."""
    entries = [
        {
            "projection": standing.name,
            "generation": standing.generation,
            "from_position": standing.position,
            "to_position": position,
        }
        for standing, position in moved
    ]
    if entries:
        connection.execute(insert(JOURNAL).values(committed_at=clock()), entries)


def position_at(connection: Connection, name: str, instant: datetime) -> int:
    """The position that a view had reached at an instant; 0 before its first."""
    latest = (
        select(JOURNAL.c.to_position)
        .where(JOURNAL.c.projection == name, JOURNAL.c.committed_at <= instant)
        .order_by(JOURNAL.c.committed_at.desc(), JOURNAL.c.to_position.desc())
        .limit(1)
    )
    return connection.execute(latest).scalar() or 0


def now(connection: Connection) -> datetime:
    """The database's clock."""
    return connection.execute(select(clock())).scalar_one()


def _is(standing: Checkpoint) -> Any:
    return and_(PROJECTIONS.c.name == standing.name, PROJECTIONS.c.generation == standing.generation)
