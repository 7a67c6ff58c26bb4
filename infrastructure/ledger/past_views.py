"""Querying a view as it was at a moment.

The moment says which events had been recorded. Of a position, the rows are those that these events make. Of a time,
they are those that the view showed then: a view follows the log, and its journal has the position that it had reached.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime
from typing import NamedTuple, Unpack

from ...domain.errors import InvalidInput
from ...projections.projection import Row
from ..read_models.filter import Filter
from ..read_models.queries import Asked, QueryResult
from ..read_models.time_travel import past_rows
from ..runtime.progress import ReportProgress
from .context import LedgerContext
from .moment import AnyMoment, moment_of, position_of, recorded_at
from .view_operations import declared_projection


class PastCheckpoint(NamedTuple):
    """How far a view had folded the log at a moment."""

    position: int
    head_position: int
    """The last position of the log at that moment."""
    lag_seconds: float
    """How long the first event that the view had not folded had been in the log then; 0 if there was none."""


def check_one_time(at: AnyMoment | None, wait_for: int | None) -> None:
    """Raise `InvalidInput` for a query that asks for the past and for what is to come."""
    if at is not None and wait_for is not None:
        raise InvalidInput("wait_for asks for what is to come, and at for the past: give one of them")


def query_at(
    context: LedgerContext, view: str, at: AnyMoment, *, report: ReportProgress | None = None, **asked: Unpack[Asked]
) -> QueryResult:
    """Query a view as it was at a moment: `head_position` and the lag are those of that moment, too.

    The handlers of today fold the events anew, also of a view that was rebuilt or changed since: a mistake in the code
    of that time does not come back. It takes as long as to fold the log up to there.
    Raises `InvalidInput` for what is no moment of the whole log, and for what asks for another time than that; and what
    `rebuild_view` raises.
    """
    check_one_time(at, asked.get("wait_for"))
    filter_ = Filter(asked.get("where"), asked.get("order", ()), asked.get("limit", 100), asked.get("after"))
    filter_ = filter_._replace(attributes=asked.get("attributes"))
    with each_past_row(context, view, at, filter_, report=report) as (checkpoint, rows):
        position, head, lag_seconds = checkpoint
        return QueryResult(view, position, head, head - position, lag_seconds, list(rows))


@contextmanager
def each_past_row(
    context: LedgerContext, view: str, at: AnyMoment, filter_: Filter, *, report: ReportProgress | None = None
) -> Iterator[tuple[PastCheckpoint, Iterator[Row]]]:
    """Open a view as it was; yields how far it was, and its rows one after another. Raises as `query_at` does."""
    moment = moment_of(context, at)
    head = position_of(context, moment)
    projection = declared_projection(context, view)
    checkpoint = PastCheckpoint(head, head, 0.0)
    if moment.time is not None:
        checkpoint = _checkpoint_at(context, view, moment.time, head)
    past = past_rows(context.backend, context.codec, projection, checkpoint.position, filter_, progress=report)
    with past as rows:
        yield checkpoint, rows


def _checkpoint_at(context: LedgerContext, view: str, time: datetime, head: int) -> PastCheckpoint:
    """Return how far a view was at a time. SQLite's clock counts milliseconds: no event counts before its time."""
    position = min(context.queries.position_at(view, time), head)
    unfolded = recorded_at(context, position + 1) if position < head else None
    lag_seconds = 0.0 if unfolded is None else max((time - unfolded).total_seconds(), 0.0)
    return PastCheckpoint(position, head, lag_seconds)
