"""Listing sagas page by page or all of them, newest first, and the requests to start them."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from typing import Any, NamedTuple, Self

from sqlalchemy import Select, func, select

from ...domain.choreography.derived_saga import CHOREOGRAPHED
from ...domain.errors import InvalidInput
from ...projections.projection import Row
from ..event_store.start_requests import StartRequest
from ..read_models.checkpoints import Checkpoint
from ..read_models.condition import RowCondition, Where
from ..read_models.filter import ROWS_MAX, STREAMED_ROWS_MAX, Filter, select_rows
from ..read_models.like_pattern import begins_with
from ..read_models.readable import each_row, readable
from .context import LedgerContext


class SagaFilter(NamedTuple):
    """Which sagas to list; every condition that is not None must hold."""

    status: str | None = None
    definition: str | None = None
    started_since: datetime | None = None
    """Started at this time or later."""
    started_before: datetime | None = None
    stalled_at: datetime | None = None
    """Choreographed, and silent for longer than allowed at this time."""
    attributes: Where | None = None
    """Conditions on the search attributes; `{"customer": "C-1"}` or `["customer=C-1", "total>100"]`."""
    version: int | None = None
    """Of this version of their definitions."""
    step: str | None = None
    """At this step now."""
    id_begins: str | None = None
    """With an id that begins so."""


class SagaCursor(NamedTuple):
    """Where a page ends: the start and the id of its last saga."""

    started_at: datetime
    saga_id: str

    def __str__(self) -> str:
        started_at = self.started_at.astimezone(UTC).replace(tzinfo=None).isoformat(timespec="microseconds")
        return f"{started_at}Z,{self.saga_id}"

    @classmethod
    def parse(cls, text: str) -> Self:
        """Read a cursor from its text. Raises `InvalidInput` for any other text."""
        started_at, _, saga_id = text.partition(",")
        try:
            instant = datetime.fromisoformat(started_at if saga_id else "")
            instant = instant.replace(tzinfo=UTC) if instant.tzinfo is None else instant.astimezone(UTC)
        except (ValueError, OverflowError) as error:
            raise InvalidInput(
                f"{text!r} is no cursor of a page of sagas: pass the one that the page before ended with"
            ) from error
        return cls(instant, saga_id)


class SagaPage(NamedTuple):
    """Rows of the view `sagas`, read at one position of it."""

    rows: list[Row]
    position: int
    head_position: int
    view: str
    """The view that the position is of: that of the search attributes, if it was asked and is further behind."""
    next: SagaCursor | None
    """Where the next page begins; None if this is the last one."""


def list_sagas(context: LedgerContext, wanted: SagaFilter, *, limit: int, after: SagaCursor | None = None) -> SagaPage:
    """Return one page of sagas, newest first, as the view `sagas` has them.

    Raises `InvalidInput` for a limit or a value that cannot be used, `WrongState` for a view that must be rebuilt.
    """
    with each_saga(context, wanted, limit=limit, after=after, limit_max=ROWS_MAX) as (checkpoint, found):
        rows = list(found)
    head = max(context.backend.head().position, checkpoint.position)
    last = SagaCursor(rows[-1]["started_at"], rows[-1]["saga_id"]) if len(rows) == limit else None
    return SagaPage(rows, checkpoint.position, head, checkpoint.view, last)


@contextmanager
def each_saga(
    context: LedgerContext,
    wanted: SagaFilter,
    *,
    limit: int | None = None,
    after: SagaCursor | None = None,
    limit_max: int = STREAMED_ROWS_MAX,
) -> Iterator[tuple[Checkpoint, Iterator[Row]]]:
    """Open a snapshot, and read sagas in it one after another, newest first. Raises as `list_sagas` does."""
    sagas = context.queries.projection("sagas")
    selected = _selected(context, wanted, limit, after, limit_max)
    with context.queries.snapshot(sagas, searched=bool(wanted.attributes)) as (connection, checkpoint):
        yield checkpoint, each_row(connection, selected, sagas.name)


def _selected(
    context: LedgerContext, wanted: SagaFilter, limit: int | None, after: SagaCursor | None, limit_max: int
) -> Select[Any]:
    style = None if wanted.stalled_at is None else CHOREOGRAPHED
    equal = {
        "status": wanted.status,
        "definition": wanted.definition,
        "style": style,
        "version": wanted.version,
        "current_step": wanted.step,
    }
    where = [RowCondition(name, "=", value) for name, value in equal.items() if value is not None]
    if wanted.id_begins is not None:
        where.append(RowCondition("saga_id", "like", begins_with(wanted.id_begins)))
    table = context.queries.projection("sagas").table
    selected = select_rows(
        table,
        Filter(
            where,
            ("-started_at",),
            limit,
            None if after is None else after._asdict(),
            wanted.attributes,
            limit_max=limit_max,
        ),
    )
    if wanted.started_since is not None:
        selected = selected.where(table.c.started_at >= wanted.started_since)
    if wanted.started_before is not None:
        selected = selected.where(table.c.started_at < wanted.started_before)
    if wanted.stalled_at is not None:
        selected = selected.where(table.c.stalls_at < wanted.stalled_at)
    return selected


class SagaCounts(NamedTuple):
    """How many sagas a filter selects, by status, as the view `sagas` has them at a position."""

    by_status: dict[str, int]
    capped: bool
    """Whether there are more: those that were counted are then not all."""
    position: int
    head_position: int


def count_by_status(context: LedgerContext, wanted: SagaFilter, *, counted_max: int) -> SagaCounts:
    """Count sagas by status, so many at most. Raises as `list_sagas` does."""
    sagas = context.queries.projection("sagas")
    chosen = _selected(context, wanted, counted_max, None, counted_max).with_only_columns(sagas.table.c.status)
    statuses = chosen.order_by(None).subquery()
    counting = select(statuses.c.status, func.count()).group_by(statuses.c.status).order_by(statuses.c.status)
    snapshot = context.queries.snapshot(sagas, searched=bool(wanted.attributes))
    with snapshot as (connection, checkpoint), readable(f"view {sagas.name}"):
        counts = {str(status): int(count) for status, count in connection.execute(counting)}
    head = max(context.backend.head().position, checkpoint.position)
    return SagaCounts(counts, sum(counts.values()) >= counted_max, checkpoint.position, head)


def list_start_requests(context: LedgerContext, *, limit: int) -> list[StartRequest]:
    """Return the sagas that programs asked for in their own transactions and that are not started, oldest first."""
    requests = context.backend.start_requests
    return [] if requests is None else requests.listed(limit=limit)
