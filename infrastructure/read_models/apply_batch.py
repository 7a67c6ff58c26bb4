"""Applying a batch to a view: prepared from a snapshot without a lock, committed only if the view has not moved.

A view's rows change only together with its position, under a lock. So rows that were read together with a position
are still current if the commit finds the same position. A projector that another one overtook drops what it prepared.
That way each event counts exactly once, and no lock is held while Python folds.
"""

from __future__ import annotations

from typing import NamedTuple

from sqlalchemy import Connection
from sqlalchemy.exc import StatementError

from ...projections.projection import Change, PoisonEvent, Projection
from ..event_store.view_store import first_line, is_unavailability
from . import checkpoints
from .checkpoints import STOPPED, Checkpoint
from .event_batch import EventBatch
from .row_store import RowStore


class View(NamedTuple):
    """A projection, and the table that it is folded into."""

    projection: Projection
    table: RowStore


class Folded(NamedTuple):
    """The result of folding a batch into a view; nothing is written yet."""

    change: Change
    upto: int
    """The view's position afterwards."""
    poison: PoisonEvent | None
    """The event in front of which the view stops, if there is one."""


class Prepared(NamedTuple):
    """A folded batch that may be committed as long as the view is at this checkpoint."""

    view: View
    checkpoint: Checkpoint
    folded: Folded


class RejectedWrite(NamedTuple):
    """The database rejected the rows that a batch left of a view."""

    view: View
    cause: str


class Committed(NamedTuple):
    """The result of committing a batch."""

    moved: int
    """How many views it moved."""
    rejected: list[RejectedWrite]
    """The views whose rows the database rejected; they did not move."""


def fold(connection: Connection, view: View, batch: EventBatch) -> Folded:
    """Fold a batch into a view's rows, up to the first event that cannot be folded. Writes nothing."""
    poison = batch.poison_for(view.projection)
    if poison is None:
        try:
            return Folded(_change(connection, view, batch), batch.upto, None)
        except PoisonEvent as error:  # an event counts whole or not at all: fold the part before it again
            poison = error
    earlier = fold(connection, view, batch.before(poison.position))
    return earlier if earlier.poison is not None else earlier._replace(poison=poison)


def _change(connection: Connection, view: View, batch: EventBatch) -> Change:
    touches = view.projection.touches(batch.events)
    rows = view.table.load(connection, {key for _, key, _ in touches}) if touches else {}
    return view.projection.fold(touches, rows)


def prepare(connection: Connection, view: View, checkpoint: Checkpoint, batch: EventBatch) -> Prepared:
    """Fold the part of a batch that a view has not folded yet."""
    return Prepared(view, checkpoint, fold(connection, view, batch.beyond(checkpoint.position)))


def commit(connection: Connection, prepared: list[Prepared]) -> Committed:
    """Write what was prepared for the views that have not moved since; each view whole or not at all."""
    locked = checkpoints.lock(connection, [step.checkpoint.name for step in prepared])
    unmoved = {_identity(checkpoint) for checkpoint in locked}
    moves: list[tuple[Checkpoint, int]] = []
    rejected: list[RejectedWrite] = []
    for view, checkpoint, folded in prepared:
        if _identity(checkpoint) not in unmoved:
            continue
        cause = _write(connection, view, folded.change)
        if cause is not None:
            rejected.append(RejectedWrite(view, cause))
            continue
        moves.append((checkpoint, folded.upto))
        if folded.poison is not None:
            stop(connection, checkpoint, folded.poison)
    checkpoints.move(connection, moves)
    return Committed(len(moves), rejected)


def _write(connection: Connection, view: View, change: Change) -> str | None:
    """Write a view's rows, all or none. Returns why the database rejected them, or None if it did not."""
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


def stop(connection: Connection, checkpoint: Checkpoint, poison: PoisonEvent) -> None:
    """Record that a view stops in front of an event that it cannot fold."""
    checkpoints.change(connection, checkpoint, status=STOPPED, error=str(poison), stopped_at_position=poison.position)


def _identity(checkpoint: Checkpoint) -> tuple[str, int, int, str]:
    """Return the part of a checkpoint that must not change between preparing a batch and committing it."""
    return checkpoint.name, checkpoint.generation, checkpoint.position, checkpoint.status
