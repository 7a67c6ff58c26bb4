"""Who decided what about which saga, and what there was to decide on."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from ...domain.saga.evolve import rebuild
from ...domain.saga.state import SagaState
from ...projections.projection import Row
from ...projections.saga.decisions import decisions
from ..errors import AppPartMissing
from ..ledger.context import LedgerContext
from ..ledger.state_reader import saga_events
from ..read_models.condition import RowCondition, Where

ORDER = ("-position",)


class RecordedDecision(NamedTuple):
    """One decision: its row of the view `decisions`, and the saga's state that preceded it."""

    row: Row
    saw: SagaState | None
    """None if the saga is choreographed by what the app in use does not declare."""


class DecisionPage(NamedTuple):
    """The latest decisions first, as the view had them at a position."""

    decisions: list[RecordedDecision]
    position: int
    head_position: int
    lag_seconds: float


def read_decisions(
    context: LedgerContext,
    where: Sequence[RowCondition],
    *,
    attributes: Where | None = None,
    limit: int,
    after: Row | None = None,
) -> DecisionPage:
    """Return decisions that fulfil conditions on the view's columns, and on the search attributes of their sagas.

    `after`: the row that the page before ended with. Raises `InvalidInput` for a condition that cannot be used.
    """
    found = context.queries.query(
        decisions.name, where=list(where), attributes=attributes, order=ORDER, limit=limit, after=after
    )
    listed = [RecordedDecision(row, _state_before(context, row["saga_id"], row["version"])) for row in found.rows]
    return DecisionPage(listed, found.as_of_position, found.head_position, found.lag_seconds)


def _state_before(context: LedgerContext, saga_id: str, version: int) -> SagaState | None:
    try:
        recorded = saga_events(context, saga_id)
    except AppPartMissing:
        return None
    return rebuild(saga_id, (each.event for each in recorded if each.version < version))
