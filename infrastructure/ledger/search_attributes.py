"""The search attributes of one saga, as the view of them has them."""

from __future__ import annotations

from ...projections.saga.saga_attributes import VIEW
from ..errors import WrongState
from ..read_models.filter import ROWS_MAX
from .context import LedgerContext


def attributes_of(context: LedgerContext, saga_id: str) -> dict[str, list[str]]:
    """Return the values by which a saga is found, by name; none where the app in use cannot search."""
    if not any(checkpoint.name == VIEW for checkpoint in context.queries.checkpoints()):
        return {}
    try:
        rows = context.queries.query(VIEW, where={"saga_id": saga_id}, order=("name", "value"), limit=ROWS_MAX).rows
    except WrongState:  # the view has the attributes of another app
        return {}
    found: dict[str, list[str]] = {}
    for row in rows:
        found.setdefault(row["name"], []).append(row["value"])
    return found
