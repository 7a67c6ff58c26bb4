"""Who decided what about which saga, and what there was to decide on."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import NamedTuple

from ...domain.recorded_event import RecordedEvent
from ...domain.saga.evolve import rebuild
from ...domain.saga.state import SagaState
from ...projections.projection import Row
from ...projections.saga.decisions import decisions
from ..errors import AppPartMissing
from ..ledger.context import LedgerContext
from ..ledger.state_reader import saga_events
from ..ledger.stream_reader import read_streams
from ..read_models.condition import RowCondition, Where
from ..read_models.queries import QueryResult

ORDER = ("-position",)


class DecisionFilter(NamedTuple):
    """Which decisions are wanted; every condition that is not None must hold."""

    saga_id: str | None = None
    action: str | None = None
    step: str | None = None
    actor: str | None = None
    decided_since: datetime | None = None
    """Decided at this time or later."""
    decided_before: datetime | None = None
    attributes: Where | None = None
    """Conditions on the search attributes of their sagas, as for `SagaFilter`."""

    @property
    def where(self) -> list[RowCondition]:
        """The conditions on the columns of the view `decisions`."""
        given = (
            RowCondition("saga_id", "=", self.saga_id),
            RowCondition("action", "=", self.action),
            RowCondition("step", "=", self.step),
            RowCondition("actor", "=", self.actor),
            RowCondition("decided_at", ">=", self.decided_since),
            RowCondition("decided_at", "<", self.decided_before),
        )
        return [condition for condition in given if condition.value is not None]


def read_decisions(
    context: LedgerContext, wanted: DecisionFilter, *, limit: int, after: Row | None = None
) -> QueryResult:
    """Return rows of the view `decisions`, the latest first.

    `after`: the row that the page before ended with. Raises `InvalidInput` for a condition that cannot be used.
    """
    return context.queries.query(
        decisions.name, where=wanted.where, attributes=wanted.attributes, order=ORDER, limit=limit, after=after
    )


def states_before(context: LedgerContext, decided: Sequence[Row]) -> list[SagaState | None]:
    """Return, for each of these decisions, its saga's state that preceded it: what there was to decide on.

    It is None for a saga that the app in use does not declare the choreography of. Raises `UnreadableEvent`.
    """
    choreography_of = context.app.choreography_of
    ids = dict.fromkeys(row["saga_id"] for row in decided)
    read = read_streams(context.backend, context.codec, [(each, 0) for each in ids if choreography_of(each) is None])
    for unreadable in read.unreadable.values():
        raise unreadable
    events = {saga_id: read.readable.get(saga_id) or _derived(context, saga_id) for saga_id in ids}
    return [_before(row["saga_id"], events[row["saga_id"]], row["version"]) for row in decided]


def _derived(context: LedgerContext, saga_id: str) -> Sequence[RecordedEvent]:
    """Return the events of a choreographed saga; none if its choreography is not declared."""
    try:
        return saga_events(context, saga_id)
    except AppPartMissing:
        return ()


def _before(saga_id: str, events: Sequence[RecordedEvent], version: int) -> SagaState | None:
    return rebuild(saga_id, (each.event for each in events if each.version < version)) if events else None
