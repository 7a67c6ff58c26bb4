"""Folding a batch into a group of views: one that cannot take it is stopped, and does not hold up the others."""

from __future__ import annotations

import logging

from sqlalchemy import Connection
from sqlalchemy.exc import DBAPIError

from ...projections.poison_event import PoisonEvent, describe
from ..errors import Unavailable
from ..event_store.view_store import ViewStore, first_line
from ..runtime.observer import Observer
from . import checkpoints
from .apply_batch import Prepared, RejectedWrite, View, commit, narrowed, prepare
from .checkpoints import LIVE, Checkpoint
from .event_batch import EventBatch

log = logging.getLogger(__name__)


class BatchFolder:
    """Folds batches into views of one view store."""

    def __init__(self, store: ViewStore, observer: Observer | None = None) -> None:
        self._store = store
        self._observer = observer

    def fold(self, batch: EventBatch, views: list[View]) -> bool:
        """Fold a batch into the views that are at its beginning; a view that cannot take it is stopped.

        If something fails that concerns one view or all of them, each is tried alone: only those that fail stop.
        Returns whether that moved or stopped any view: it does not if another projector was faster with all of them.
        """
        try:
            return self._fold_together(batch, views)
        except Unavailable:
            raise
        except Exception as error:  # noqa: BLE001  # whatever it is stops a view, which says what it is
            if len(views) > 1:
                moved = [self.fold(batch, [view]) for view in views]
                return any(moved)
            cause = first_line(error) if isinstance(error, DBAPIError) else describe(error)
            self._stop(views[0], batch.after + 1, f"its table cannot be used: {cause}")
            return True

    def _fold_together(self, batch: EventBatch, views: list[View]) -> bool:
        with self._store.reading() as connection:
            recorded = checkpoints.read_current(connection)
            prepared = [
                self._prepare(connection, view, recorded[view.table.name], batch)
                for view in views
                if _takes(recorded.get(view.table.name), view, batch)
            ]
        if not prepared:
            return False
        with self._store.writing() as connection:
            moved, rejected, stopped = commit(connection, prepared)
        for poison in stopped:
            _log_stop(poison.projection, poison.position, str(poison))
        for rejection in rejected:
            self._bisect(batch, rejection)
        return bool(moved or rejected)

    def _prepare(self, connection: Connection, view: View, checkpoint: Checkpoint, batch: EventBatch) -> Prepared:
        if self._observer is None:
            return prepare(connection, view, checkpoint, batch)
        name = view.projection.name
        attributes: dict[str, str | int] = {"saga.view": name, "saga.events": batch.upto - checkpoint.position}
        with self._observer.span(f"fold {name}", "internal", attributes):
            return prepare(connection, view, checkpoint, batch)

    def _bisect(self, batch: EventBatch, rejection: RejectedWrite) -> None:
        """Find the event whose rows the database rejects, and stop the view in front of it."""
        try:
            half = narrowed(batch, rejection.view, rejection.cause)
        except PoisonEvent as poison:
            self._stop(rejection.view, poison.position, str(poison))
            return
        self.fold(half, [rejection.view])
        self.fold(batch.beyond(half.upto), [rejection.view])

    def _stop(self, view: View, position: int, error: str) -> None:
        """Stop a view in front of an event, in a transaction of its own, unless it has moved meanwhile.

        If its table has another name by now, the view did not fail, and is found under that name the next time.
        """
        is_stopped = False
        with self._store.writing() as connection:
            checkpoint = checkpoints.current(connection, view.table.name)
            if checkpoint is not None and is_followed(checkpoint, view) and checkpoint.position < position:
                checkpoints.stop(connection, checkpoint, position, error)
                is_stopped = True
        if is_stopped:
            _log_stop(view.projection.name, position, error)


def _log_stop(view: str, position: int, error: str) -> None:
    log.error("view %s is stopped before position %d: %s", view, position, error, extra={"view": view})


def is_followed(checkpoint: Checkpoint, view: View) -> bool:
    """Whether a view follows the log and was made by the version of its projection that is declared here."""
    return checkpoint.status == LIVE and checkpoint.version == view.projection.version


def _takes(checkpoint: Checkpoint | None, view: View, batch: EventBatch) -> bool:
    """Whether a view is followed and at a position within a batch."""
    return checkpoint is not None and is_followed(checkpoint, view) and batch.after <= checkpoint.position < batch.upto
