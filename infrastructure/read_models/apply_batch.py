"""Applying a batch to a view: prepared from a snapshot without a lock, committed only if the view has not moved.

A view's rows change only together with its position, under a lock. So rows that were read together with a position
are still current if the commit finds the same position. A projector that another one overtook drops what it prepared.
That way each event counts exactly once, and no lock is held while Python folds.
"""

from __future__ import annotations

from typing import NamedTuple

from sqlalchemy import Connection
from sqlalchemy.exc import DBAPIError

from ...projections.keys import RowsWhere
from ...projections.poison_event import PoisonEvent, describe
from ...projections.projection import Change, Projection
from ..event_store.view_store import first_line, is_unavailability
from . import checkpoints
from .checkpoints import Checkpoint
from .event_batch import EventBatch
from .row_store import RowStore

FOLD_ATTEMPTS_MAX = 8
"""How often a batch is folded, each time up to the event that could not be folded the time before."""


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
    stopped: list[PoisonEvent]
    """The events that stopped a view."""


def fold(connection: Connection, view: View, batch: EventBatch) -> Folded:
    """Fold a batch into a view's rows, up to the first event that cannot be folded. Writes nothing.

    An event counts whole or not at all, so the part before an event that fails is folded again. Code that fails at
    ever earlier events then is no function of its arguments: nothing of the batch is folded.
    """
    poison: PoisonEvent | None = None
    for _ in range(FOLD_ATTEMPTS_MAX):
        unreadable = batch.poison_for(view.projection)
        try:
            if unreadable is not None:
                raise unreadable
            return Folded(_change(connection, view, batch), batch.upto, poison)
        except PoisonEvent as error:
            poison = error
            batch = batch.before(error.position)
    return Folded(Change([], []), batch.after, poison)


def _change(connection: Connection, view: View, batch: EventBatch) -> Change:
    touches = view.projection.touches(batch.events)
    touched = {key for _, key, _ in touches}
    rows = view.table.load(connection, [key for key in touched if isinstance(key, tuple)])
    rows |= view.table.load_where(connection, [key for key in touched if isinstance(key, RowsWhere)])
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
    stopped: list[PoisonEvent] = []
    for view, checkpoint, folded in prepared:
        if _identity(checkpoint) not in unmoved:
            continue
        cause = write(connection, view, folded.change)
        if cause is not None:
            rejected.append(RejectedWrite(view, cause))
            continue
        moves.append((checkpoint, folded.upto))
        if folded.poison is not None:
            checkpoints.stop(connection, checkpoint, folded.poison.position, str(folded.poison))
            stopped.append(folded.poison)
    checkpoints.move(connection, moves)
    return Committed(len(moves), rejected, stopped)


def write(connection: Connection, view: View, change: Change) -> str | None:
    """Write a view's rows, all or none. Returns why they cannot be written, or None if they are."""
    if not change.written and not change.deleted:
        return None
    try:
        with connection.begin_nested():
            view.table.write(connection, change)
    except Exception as error:  # what a column's type raises for a value is not ours to list
        if is_unavailability(error):
            raise
        return f"{type(error).__name__}: {first_line(error)}" if isinstance(error, DBAPIError) else describe(error)
    return None


def narrowed(batch: EventBatch, view: View, cause: str) -> EventBatch:
    """Return the first half of a batch whose rows cannot be written, to find the event that makes them so.

    Raises `PoisonEvent` when there is only that event.
    """
    if batch.upto - batch.after > 1:
        return batch.before((batch.after + batch.upto) // 2 + 1)
    raise PoisonEvent(view.projection.name, batch.upto, type(batch.events[0].event).schema.name, cause)


def _identity(checkpoint: Checkpoint) -> tuple[str, int, int, str]:
    """Return the part of a checkpoint that must not change between preparing a batch and committing it."""
    return checkpoint.name, checkpoint.generation, checkpoint.position, checkpoint.status
