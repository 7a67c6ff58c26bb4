"""Checkpoints: how far each view has folded the log, and a journal of how far it had come at any time.

`projections` has one row for each generation of a view. The row's name is that of the generation's table: the view's
own for the generation that SQL reads by that name, `<view>__v<version>` for one that stands beside it and serves the
programs that declare that version (`<view>__h<hash>` if the version is the hash of a declaration). Each version of a
view has one generation at most; a rebuild fills the next one of the view's own name. `projection_journal` has one row
for each batch that a live generation committed, so that time travel can tell which position a view had reached at an
instant.
"""

from __future__ import annotations

from collections.abc import Mapping
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
from ...projections.view_version import is_of_declaration
from ..errors import DamagedLedger
from .readable import readable

LIVE = "live"
"""The generation follows the log."""
BUILDING = "building"
"""A rebuild fills the generation's table, `<view>__rebuild`, which replaces the one of the row's name."""
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
    """The name of its table: the view's, or that of a generation beside it."""
    generation: int
    version: int
    """The version of the projection that made it."""
    position: int
    status: str
    error: str | None
    stopped_at_position: int | None
    updated_at: datetime | None
    """None if the view is absent."""

    @property
    def view(self) -> str:
        """The name of the view."""
        return self.name.partition("__")[0]  # a projection's name has no two underscores in a row

    @property
    def is_beside(self) -> bool:
        """Whether another generation has the view's name."""
        return self.name != self.view


def name_beside(view: str, version: int) -> str:
    """Return the name of a version's generation while another one has the view's name."""
    return f"{view}__h{-version}" if is_of_declaration(version) else f"{view}__v{version}"


def name_of_rebuild(view: str) -> str:
    """Return the name of the table that a rebuild of a view fills."""
    return f"{view}__rebuild"


def of_version(recorded: Mapping[str, Checkpoint], view: str, version: int) -> Checkpoint | None:
    """Return the generation, by name, that programs of a version read and fold; None if there is none."""
    public = recorded.get(view)
    return public if public is not None and public.version == version else recorded.get(name_beside(view, version))


def seen_by(recorded: Mapping[str, Checkpoint], view: str, version: int) -> Checkpoint | None:
    """Return the generation of a version, or else the one of another version that has the view's name."""
    return of_version(recorded, view, version) or recorded.get(view)


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
    """Return the checkpoint of each generation that follows the log or is stopped, by the name of its table."""
    return {checkpoint.name: checkpoint for checkpoint in read_all(connection) if checkpoint.status != BUILDING}


def read_seen(connection: Connection, view: str, version: int | None) -> Checkpoint | None:
    """Return what programs of a version see of a view (see `seen_by`); None is whichever version has its name."""
    if version is None:
        return current(connection, view)
    names = PROJECTIONS.c.name.in_((view, name_beside(view, version)))
    found = _read(connection, select(PROJECTIONS).where(names, PROJECTIONS.c.status != BUILDING))
    recorded = {checkpoint.name: checkpoint for checkpoint in found}
    if len(recorded) < len(found):
        raise DamagedLedger(f"table {PROJECTIONS.name} has {len(found)} generations of view {view} where one can be")
    return seen_by(recorded, view, version)


def current(connection: Connection, name: str) -> Checkpoint | None:
    """Return the generation whose table has this name; None if the database does not have it."""
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


def hand_over(connection: Connection, checkpoint: Checkpoint, name: str, generation: int) -> None:
    """Record that a generation's table has another name now. Its journal begins anew there, at its position."""
    change(connection, checkpoint, name=name, generation=generation)
    forget_journal_beside(connection, checkpoint)
    if checkpoint.position > 0:
        begun = checkpoint._replace(name=name, generation=generation, position=0)
        record_moves(connection, [(begun, checkpoint.position)])


def forget_journal_beside(connection: Connection, checkpoint: Checkpoint) -> None:
    """Remove the journal of a generation beside a view, which loses its name; that of the view itself stays."""
    if checkpoint.is_beside:
        connection.execute(delete(JOURNAL).where(JOURNAL.c.projection == checkpoint.name))


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


def position_at(connection: Connection, checkpoint: Checkpoint, instant: datetime) -> int:
    """Return the position that a view had reached at an instant; 0 before its first batch.

    Before a generation stood beside its view, it had the view's name, or the journal of that name tells more of it.
    """
    return _position_at(connection, checkpoint.name, instant) or _position_at(connection, checkpoint.view, instant)


def _position_at(connection: Connection, name: str, instant: datetime) -> int:
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
