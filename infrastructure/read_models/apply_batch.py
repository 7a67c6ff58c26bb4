"""Folding a batch into one view: prepared from a snapshot, without a lock; committed only if the view stood still.

The rows of a view change only together with its position, under a lock on it. So rows read beside a position are
still the rows when the commit finds the same position, and a runner that lost the race just drops what it prepared:
each event counts exactly once, and nobody is kept from writing while Python folds.
"""

from __future__ import annotations

from typing import NamedTuple

from sqlalchemy import Connection
from sqlalchemy.exc import StatementError

from ...projections.projection import Change, PoisonEvent, Projection
from ..event_store.view_store import first_line, is_unavailability
from . import checkpoints as positions
from .checkpoints import STOPPED, Checkpoint
from .event_batch import EventBatch
from .row_store import RowStore


class View(NamedTuple):
    """A projection, and the table that it is folded into."""

    projection: Projection
    table: RowStore


class Folded(NamedTuple):
    """What a batch does to a view."""

    change: Change
    upto: int
    """The position at which the view stands afterwards."""
    poison: PoisonEvent | None
    """The event in front of which it stops then."""


class Prepared(NamedTuple):
    """What a batch does to a view, as long as that stands where `standing` says."""

    view: View
    standing: Checkpoint
    folded: Folded


class RejectedWrite(NamedTuple):
    """The database does not take what a batch leaves of a view."""

    view: View
    cause: str


def fold(connection: Connection, view: View, batch: EventBatch) -> Folded:
    """Fold a batch into the rows that the view has, up to the first event that it cannot fold. Writes nothing."""
    poison = batch.poison_for(view.projection)
    if poison is None:
        try:
            return Folded(_change(connection, view, batch), batch.upto, None)
        except PoisonEvent as error:  # what came before it is folded again, without it: an event counts whole or not
            poison = error
    earlier = fold(connection, view, batch.before(poison.position))
    return earlier if earlier.poison is not None else earlier._replace(poison=poison)


def _change(connection: Connection, view: View, batch: EventBatch) -> Change:
    touches = view.projection.touches(batch.events)
    rows = view.table.load(connection, {key for _, key, _ in touches}) if touches else {}
    return view.projection.fold(touches, rows)


def prepare(connection: Connection, view: View, standing: Checkpoint, batch: EventBatch) -> Prepared:
    """Fold the part of a batch that a view has not seen."""
    return Prepared(view, standing, fold(connection, view, batch.beyond(standing.position)))


class Committed(NamedTuple):
    """What became of a batch."""

    moved: int
    """How many views it moved."""
    refused: list[RejectedWrite]
    """The views that the database did not take it from: they stay where they were."""


def commit(connection: Connection, prepared: list[Prepared]) -> Committed:
    """Write what was prepared for the views that still stand where they stood, each whole or not at all."""
    locked = {_stand(standing) for standing in positions.lock(connection, [step.standing.name for step in prepared])}
    moved: list[tuple[Checkpoint, int]] = []
    refused: list[RejectedWrite] = []
    for step in prepared:
        if _stand(step.standing) not in locked:
            continue
        cause = _write(connection, step.view, step.folded.change)
        if cause is not None:
            refused.append(RejectedWrite(step.view, cause))
            continue
        moved.append((step.standing, step.folded.upto))
        if step.folded.poison is not None:
            stop(connection, step.standing, step.folded.poison)
    positions.advance(connection, moved)
    return Committed(len(moved), refused)


def _write(connection: Connection, view: View, change: Change) -> str | None:
    """Write a view's rows; gives why the database does not take them, as it then has none of them."""
    if not change.written and not change.deleted:
        return None
    try:
        with connection.begin_nested():
            view.table.write(connection, change)
    except (StatementError, AttributeError, OverflowError, TypeError, ValueError) as error:
        if is_unavailability(error):
            raise
        return f"{type(error).__name__}: {first_line(error)}"
    return None


def stop(connection: Connection, standing: Checkpoint, poison: PoisonEvent) -> None:
    """Stop a view in front of an event that it cannot fold, for everybody to see."""
    positions.change(connection, standing, status=STOPPED, error=str(poison), stopped_at_position=poison.position)


def _stand(standing: Checkpoint) -> tuple[str, int, int, str]:
    """What must not have changed since a batch was prepared."""
    return standing.name, standing.generation, standing.position, standing.status
