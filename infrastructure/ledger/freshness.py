"""How far views are behind the log, and bringing them up when no worker does."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from typing import NamedTuple

from ..errors import Unavailable
from ..event_store.work_queue import WorkerRow
from ..read_models.checkpoints import ABSENT, LIVE, STOPPED, Checkpoint
from ..read_models.process_coverage import folds_sagas
from ..read_models.projector import Projector
from .context import LedgerContext
from .undeclared_process import find_undeclared_process


class Freshness(NamedTuple):
    """How far an answer from a view is behind the log, and why."""

    view: str
    position: int
    head_position: int
    lag_seconds: float | None = None
    """How long the first event that the view has not folded has been in the log; None if that was not asked."""
    error: str | None = None
    """What keeps the view from following the log, if something does."""
    unattended: bool = False
    """Whether no worker keeps the views up."""

    @property
    def lag_events(self) -> int:
        """How many events of the log the view has not folded."""
        return self.head_position - self.position


def head_position(context: LedgerContext) -> int:
    """Return the position of the last event in the log; 0 if it is empty."""
    return context.backend.head().position


def list_workers(context: LedgerContext) -> list[WorkerRow]:
    """Return the workers that have a lease on the ledger."""
    return context.backend.workers()


def is_unattended(context: LedgerContext) -> bool:
    """Whether no worker has a lease on the ledger, so that sagas do not move and views do not follow."""
    return not list_workers(context)


def freshness(
    context: LedgerContext, view: str, position: int, head: int, *, lag_seconds: float | None = None
) -> Freshness:
    """Return how far an answer at a position is behind the head, with the reason when it is behind."""
    if position >= head:
        return Freshness(view, position, head, lag_seconds)
    checkpoint = context.queries.checkpoint(view)
    if checkpoint.status == ABSENT:
        return Freshness(view, position, head, lag_seconds, "its table does not exist: `sagaledger init` creates it")
    error = checkpoint.error if checkpoint.status == STOPPED else None
    return Freshness(view, position, head, lag_seconds, error, is_unattended(context))


def catch_up_if_unattended(
    context: LedgerContext, *, working: Callable[[str], AbstractContextManager[object]] = nullcontext
) -> str | None:
    """Bring the existing views that the app declares up to the head, if no worker does.

    That way a ledger without a server answers from its whole log. Any number of processes may do it at once: each
    event still counts once. No table is created, and a database that cannot be written to is left as it is.

    `working` is entered with a label while views are brought up. Returns why views stay behind; None if none do.
    """
    if not is_unattended(context):
        return None
    head = head_position(context)
    behind = [each for each in context.queries.seen() if each.position < head and _is_followed(context, each)]
    followed = {each.view for each in behind}
    reason = None
    undeclared = find_undeclared_process(context, after=min(each.position for each in behind)) if behind else None
    if undeclared is not None:
        followed -= {p.name for p in context.app.projections if folds_sagas(p)}
        reason = f"the views of sagas stay behind: {undeclared} needs its choreography, which the app in use lacks"
    if not followed:
        return reason
    projections = [projection for projection in context.app.projections if projection.name in followed]
    projector = Projector(context.backend, context.codec, projections, creates=False)
    try:
        with working("bringing the views up"):
            projector.catch_up(head)
    except Unavailable as error:
        return f"the views stay behind: {error}"
    finally:
        projector.stop()
    return reason


def _is_followed(context: LedgerContext, checkpoint: Checkpoint) -> bool:
    """Whether the database has the view in the version that the app declares, and it is not stopped."""
    declared = {projection.name: projection.version for projection in context.app.projections}
    return checkpoint.status == LIVE and declared.get(checkpoint.view) == checkpoint.version
