"""Listing the steps that need a person, one by one or in groups that have the same cause."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime
from typing import Any, Final, NamedTuple, TypeAlias

from sqlalchemy import ColumnElement, func, literal, select, tuple_

from ...projections.saga.interventions import OPEN, RESOLVED
from ..read_models.readable import readable
from .context import LedgerContext

ALL: Final = "all"
STATUSES: Final = (OPEN, RESOLVED, ALL)

InterventionKey: TypeAlias = tuple[datetime, str, str, str]
"""Where a page ends: when the step first needed a person, the saga, the step and the direction."""


class InterventionFilter(NamedTuple):
    """Which interventions to list; every condition that is not None must hold."""

    status: str = OPEN
    """`OPEN`, `RESOLVED` or `ALL`."""
    definition: str | None = None
    step: str | None = None
    cause: str | None = None
    """A part of the cause."""


class ListedIntervention(NamedTuple):
    """A step that needs a person, or did."""

    saga_id: str
    definition: str
    step: str
    direction: str
    cause: str
    status: str
    action: str | None
    actor: str | None
    reason: str | None
    required_at: datetime
    resolved_at: datetime | None
    times: int
    """How often the step has needed a person."""

    @property
    def key(self) -> InterventionKey:
        """Where a page that ends with it ends."""
        return (self.required_at, self.saga_id, self.step, self.direction)


class InterventionGroup(NamedTuple):
    """Steps that need a person for one cause."""

    definition: str
    step: str
    direction: str
    cause: str
    steps: int
    """How many they are."""
    oldest: datetime


class InterventionPage(NamedTuple):
    """Interventions or groups of them, read at one position of the view."""

    rows: list[Any]
    position: int
    head_position: int


def list_interventions(
    context: LedgerContext, wanted: InterventionFilter, *, limit: int, after: InterventionKey | None = None
) -> InterventionPage:
    """Return interventions, those that have needed a person longest first."""
    parked, sagas = _tables(context)
    place = (parked.required_at, parked.saga_id, parked.step, parked.direction)
    columns = [sagas.definition if name == "definition" else parked[name] for name in ListedIntervention._fields]
    statement = select(*columns).join_from(parked.saga_id.table, sagas.saga_id.table, sagas.saga_id == parked.saga_id)
    statement = statement.where(*_matching(wanted, parked, sagas)).order_by(*place).limit(limit)
    if after is not None:
        values = [literal(value, column.type) for value, column in zip(after, place, strict=True)]
        statement = statement.where(tuple_(*place) > tuple_(*values))
    return _page(context, statement, ListedIntervention)


def group_interventions(context: LedgerContext, wanted: InterventionFilter, *, limit: int) -> InterventionPage:
    """Return how many steps need a person for the same cause, the largest groups first."""
    parked, sagas = _tables(context)
    same = (sagas.definition, parked.step, parked.direction, parked.cause)
    count = func.count()
    statement = (
        select(*same, count, func.min(parked.required_at))
        .join_from(parked.saga_id.table, sagas.saga_id.table, sagas.saga_id == parked.saga_id)
        .where(*_matching(wanted, parked, sagas))
        .group_by(*same)
        .order_by(count.desc(), *same)
        .limit(limit)
    )
    return _page(context, statement, InterventionGroup)


def _tables(context: LedgerContext) -> tuple[Any, Any]:
    return context.queries.projection("interventions").table.c, context.queries.projection("sagas").table.c


def _matching(wanted: InterventionFilter, parked: Any, sagas: Any) -> Iterable[ColumnElement[bool]]:
    if wanted.status != ALL:
        yield parked.status == wanted.status
    if wanted.definition is not None:
        yield sagas.definition == wanted.definition
    if wanted.step is not None:
        yield parked.step == wanted.step
    if wanted.cause is not None:
        yield parked.cause.contains(wanted.cause, autoescape=True)


def _page(context: LedgerContext, statement: Any, row: type[Any]) -> InterventionPage:
    snapshot = context.queries.snapshot(context.queries.projection("interventions"), joined=("sagas",))
    with snapshot as (connection, checkpoint), readable("view interventions"):
        rows = [row(*each) for each in connection.execute(statement)]
    head = max(context.backend.head().position, checkpoint.position)
    return InterventionPage(rows, checkpoint.position, head)
