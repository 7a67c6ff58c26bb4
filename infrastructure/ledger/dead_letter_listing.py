"""Listing dead letters: the events that services could not handle."""

from __future__ import annotations

from ..read_models.queries import QueryResult
from .context import LedgerContext
from .freshness import head_position
from .view_operations import view_checkpoints

VIEW = "dead_letters"
OPEN = "open"
"""Every dead letter that is not settled."""
ALL = "all"
_SETTLED = "settled"


def list_dead_letters(
    context: LedgerContext, *, status: str = OPEN, service: str | None = None, limit: int = 1_000
) -> QueryResult:
    """Return dead letters by their position, as the view `dead_letters` has them: of one status, `OPEN` or `ALL`.

    A ledger without that view has never had services, and so no dead letters.
    """
    if not any(checkpoint.name == VIEW for checkpoint in view_checkpoints(context)):
        head = head_position(context)
        return QueryResult(VIEW, head, head, 0, 0.0, [])
    conditions = {"service": service, "status": None if status in (OPEN, ALL) else status}
    where = {name: value for name, value in conditions.items() if value is not None}
    found = context.queries.query(VIEW, where=where, order=("position",), limit=limit)
    rows = [row for row in found.rows if status != OPEN or row["status"] != _SETTLED]
    return QueryResult(VIEW, found.as_of_position, found.head_position, found.lag_events, found.lag_seconds, rows)
