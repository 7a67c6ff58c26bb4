"""Time travel: a view as it was, folded again from the events up to the position that it had reached."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from datetime import datetime

from msgspec import Struct

from ...domain.errors import InvalidInput
from ...projections.projection import Row
from ..event_store.backend import Backend
from ..event_store.codec import Codec
from ..runtime.progress import ReportProgress
from .condition import Where
from .filter import Filter, select_rows
from .queries import Queries
from .readable import each_row
from .scratch_view import ScratchView


class PastQueryResult(Struct, frozen=True):
    """Rows of a view as they were when it had folded the log up to `as_of_position`."""

    view: str
    as_of_position: int
    rows: list[Row]


def view_at(
    queries: Queries,
    backend: Backend,
    codec: Codec,
    view: str,
    at: int | datetime,
    *,
    where: Where | None = None,
    order: Sequence[str] = (),
    limit: int = 100,
    after: Row | None = None,
    progress: ReportProgress | None = None,
) -> PastQueryResult:
    """Query a view as it was at an instant, by the journal of its positions, or as it is at a position.

    The handlers of today fold it: a mistake in their code of that time does not come back.
    Raises `InvalidInput` for a view, a column or a position that does not exist, and `PoisonEvent` for an event that
    cannot be folded.
    """
    filter_ = Filter(where, order, limit, after)
    with past_rows(queries, backend, codec, view, at, filter_, progress=progress) as (position, rows):
        return PastQueryResult(view, position, list(rows))


@contextmanager
def past_rows(
    queries: Queries,
    backend: Backend,
    codec: Codec,
    view: str,
    at: int | datetime,
    filter_: Filter,
    *,
    progress: ReportProgress | None = None,
) -> Iterator[tuple[int, Iterator[Row]]]:
    """Fold a view as `view_at` does; yields its position, and any number of rows one after another."""
    projection = queries.projection(view)
    position = queries.position_at(view, at) if isinstance(at, datetime) else at
    head = backend.head().position
    if not 0 <= position <= head:
        raise InvalidInput(f"the log has the positions 1 to {head}, and {position} is not one of them")
    if filter_.attributes:
        raise InvalidInput("search attributes are recorded as they are now: a view of the past cannot be asked by them")
    with ScratchView(backend, codec, projection) as scratch:
        scratch.fold_to(position, progress)
        with scratch.reading() as connection:
            yield position, each_row(connection, select_rows(scratch.table.table, filter_), view)
