"""Operating views: creating, rebuilding and comparing them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

from ...domain.errors import InvalidInput
from ...projections.projection import Projection
from ...projections.view_version import is_to_be_upgraded
from ..errors import AppPartMissing
from ..read_models import drift as drift_of_views
from ..read_models import rebuild as rebuild_of_views
from ..read_models.checkpoints import Checkpoint
from ..read_models.drift import Drift
from ..read_models.following import read_followers
from ..read_models.generations import Pruned, prune
from ..read_models.process_coverage import folds_sagas
from ..read_models.projector import Projector
from ..read_models.tables import install
from ..runtime.progress import ReportProgress
from .context import LedgerContext
from .undeclared_process import find_undeclared_process


def create_views(context: LedgerContext) -> None:
    """Create the tables of the declared views that the database does not have yet. Raises `Unavailable`."""
    install(context.backend.views, context.app.projections)


class ViewsUpgraded(NamedTuple):
    """The result of an upgrade of views."""

    rebuilt: list[str]
    """The views that an older version of their projection had made."""
    remark: str | None
    """Why some of those were left as they are; None if none was."""


def upgrade_views(context: LedgerContext, report: ReportProgress | None = None) -> ViewsUpgraded:
    """Rebuild every declared view that an older version of its projection made, and resume those that are stopped.

    A view that is resumed tries again the event that stopped it, when it is next followed.
    The views of sagas are left alone if the ledger has choreographed sagas that the app cannot derive: a rebuild
    would lose them.
    """
    undeclared = find_undeclared_process(context)
    foldable = [p for p in context.app.projections if undeclared is None or not folds_sagas(p)]
    rebuilt = rebuild_of_views.upgrade_views(context.backend, context.codec, foldable, report)
    Projector(context.backend, context.codec, foldable).resume()
    outdated = [checkpoint.name for checkpoint in view_checkpoints(context) if _is_outdated(context, checkpoint)]
    remark = None
    if outdated:
        remark = (
            f"an older version made the views {', '.join(outdated)}; to upgrade them, give the app that declares the "
            f"choreography of {undeclared}: `sagaledger init --app module:object`"
        )
    return ViewsUpgraded([checkpoint.name for checkpoint in rebuilt], remark)


def _is_outdated(context: LedgerContext, checkpoint: Checkpoint) -> bool:
    versions = {projection.name: projection.version for projection in context.app.projections}
    declared = versions.get(checkpoint.name)
    return checkpoint.generation > 0 and declared is not None and is_to_be_upgraded(checkpoint.version, declared)


def view_checkpoints(context: LedgerContext) -> list[Checkpoint]:
    """Return how far each view, and each rebuild that has begun, has folded the log."""
    return context.queries.checkpoints()


def view_followers(context: LedgerContext) -> Mapping[tuple[str, int], list[str]]:
    """Return the projectors that follow each version of a view now, by the view's name and the version."""
    with context.backend.views.reading() as connection:
        return read_followers(connection)


def prune_views(context: LedgerContext, view: str | None = None) -> Pruned:
    """Drop the generations beside a view, or beside every view, that no running projector follows.

    `view` may also be the name of one generation's table. Raises `InvalidInput` for a view that the database does not
    have, and `WrongState` for a generation on which other objects of the database depend.
    """
    if view is not None:
        context.queries.checkpoint(view)
    return prune(context.backend.views, view)


def view_columns(context: LedgerContext, view: str) -> tuple[str, ...]:
    """Return the columns of a view that queries show. Raises `InvalidInput` for an unknown view."""
    return context.queries.columns(view)


def rebuild_view(context: LedgerContext, view: str, report: ReportProgress | None = None) -> Checkpoint:
    """Fold a view anew from the first event, beside the live one, and replace that by it in one transaction.

    Raises `AppPartMissing` if the app does not declare the view, or not all whose events it folds.
    """
    projection = declared_projection(context, view)
    return rebuild_of_views.rebuild(context.backend, context.codec, projection, report)


def compare_view(context: LedgerContext, view: str, report: ReportProgress | None = None) -> Drift:
    """Compare a view, row by row, with what its events make of it. Raises as `rebuild_view` does."""
    declared_projection(context, view)
    return drift_of_views.drift(context.queries, context.backend, context.codec, view, progress=report)


def declared_projection(context: LedgerContext, view: str) -> Projection:
    """Return the projection of a view, if the app can fold all that the view needs.

    Raises `InvalidInput` for a view that neither the app nor the database has, and `AppPartMissing` for one that the
    app does not declare, or that needs the choreography of a process which it does not declare.
    """
    try:
        projection = context.queries.projection(view)
    except InvalidInput:
        if any(checkpoint.name == view for checkpoint in view_checkpoints(context)):
            raise AppPartMissing(f"folding view {view!r}", "its projection") from None
        raise
    if folds_sagas(projection):
        undeclared = find_undeclared_process(context)
        if undeclared is not None:
            raise AppPartMissing(f"folding view {view!r}", f"the choreography of {undeclared}")
    return projection
