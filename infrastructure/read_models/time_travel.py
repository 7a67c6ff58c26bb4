"""Time travel: a view as it was, folded again from the events up to the position that it had reached."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any

from msgspec import Struct

from ...domain.errors import InvalidInput
from ...projections.projection import Row
from ..event_store.backend import Backend
from ..event_store.codec import Codec
from ..runtime.progress import ReportProgress
from .filter import Filter
from .queries import Queries
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
    where: Mapping[str, Any] | None = None,
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
    projection = queries.projection(view)
    position = queries.position_at(view, at) if isinstance(at, datetime) else at
    head = backend.head().position
    if not 0 <= position <= head:
        raise InvalidInput(f"the log has the positions 1 to {head}, and {position} is not one of them")
    with ScratchView(backend, codec, projection) as scratch:
        scratch.fold_to(position, progress)
        return PastQueryResult(view, position, scratch.rows(Filter(where or {}, order, limit, after)))
