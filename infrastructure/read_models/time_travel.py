"""Time travel: a view as it was, folded again from the events up to the position that it had reached."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from ...domain.errors import InvalidInput
from ...projections.projection import Projection, Row
from ..event_store.codec import Codec
from ..event_store.event_log import EventLog
from ..runtime.progress import ReportProgress
from .filter import Filter, select_rows
from .readable import each_row
from .scratch_view import ScratchViews


@contextmanager
def past_rows(
    log: EventLog,
    codec: Codec,
    projection: Projection,
    position: int,
    filter_: Filter,
    *,
    progress: ReportProgress | None = None,
) -> Iterator[Iterator[Row]]:
    """Fold a view up to a position of the log, and read any number of its rows one after another.

    The handlers of today fold it: a mistake in their code of that time does not come back.
    Raises `InvalidInput` for a column or a position that does not exist, and `PoisonEvent` for an event that cannot be
    folded.
    """
    head = log.head().position
    if not 0 <= position <= head:
        raise InvalidInput(f"the log has the positions 1 to {head}, and {position} is not one of them")
    if filter_.attributes:
        raise InvalidInput("search attributes are recorded as they are now: a view of the past cannot be asked by them")
    with ScratchViews(log, codec, [projection]) as scratch:
        scratch.fold_to(position, progress)
        with scratch.reading() as connection:
            yield each_row(connection, select_rows(scratch.table(projection.name).table, filter_), projection.name)
