"""Listing dead letters: the events that services could not handle."""

from __future__ import annotations

from ...projections.projection import Row
from ..read_models.condition import RowCondition
from ..read_models.queries import QueryResult
from .context import LedgerContext
from .freshness import head_position
from .view_operations import view_checkpoints

VIEW = "dead_letters"
OPEN = "open"
"""Every dead letter that is not settled."""
ALL = "all"
ORDER = ("position", "service")
_SETTLED = "settled"


def list_dead_letters(
    context: LedgerContext,
    *,
    status: str = OPEN,
    service: str | None = None,
    limit: int = 1_000,
    after: Row | None = None,
) -> QueryResult:
    """Return dead letters by their position, as the view `dead_letters` has them: of one status, `OPEN` or `ALL`.

    `after`: the row that the page before ended with. A ledger without that view has never had services, and so has no
    dead letters.
    """
    if not any(checkpoint.name == VIEW for checkpoint in view_checkpoints(context)):
        head = head_position(context)
        return QueryResult(VIEW, head, head, 0, 0.0, [])
    where = [] if service is None else [RowCondition("service", "=", service)]
    if status == OPEN:
        where.append(RowCondition("status", "!=", _SETTLED))
    elif status != ALL:
        where.append(RowCondition("status", "=", status))
    return context.queries.query(VIEW, where=where, order=ORDER, limit=limit, after=after)
