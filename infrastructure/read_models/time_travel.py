"""What a view said then: its events up to the position that it had reached, folded again."""

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
    """Rows of a view as they were."""

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
    """What a view said at an instant, by the journal of its positions; or what it says at a position.

    It is folded by the projection as it is today: an error that was in its code then does not come back.
    Raises `InvalidInput` for what does not exist, `PoisonEvent` for an event that cannot be folded.
    """
    projection = queries.projection(view)
    position = queries.position_at(view, at) if isinstance(at, datetime) else at
    head = backend.head().position
    if not 0 <= position <= head:
        raise InvalidInput(f"the log has the positions 1 to {head}, and {position} is not one of them")
    with ScratchView(backend, codec, projection) as shadow:
        shadow.fold_to(position, progress)
        return PastQueryResult(view, position, shadow.answer(Filter(where or {}, order, limit, after)))
