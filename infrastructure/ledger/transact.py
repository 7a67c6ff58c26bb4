"""The one loop of every writer outside the worker: load, decide, append, and on a conflict once more from the start."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TypeAlias
from uuid import uuid4

from ...domain.errors import SagaledgerError
from ..errors import TooContended
from ..event_store.append_call import Append, AppendCall, Appended, AppendIdTaken, CheckpointUpdate, Receipt
from .context import LedgerContext
from .observing import observed
from .stream_cache import StreamCache

TRIES_MAX = 100
"""How often one decision is made again because others wrote to the same streams."""

Decide: TypeAlias = Callable[[int], AppendCall | None]
"""Makes the append of one try, counted from 0; None when there is nothing to append (any more)."""


def call_of(appends: Sequence[Append], checkpoints: Sequence[CheckpointUpdate] = ()) -> AppendCall:
    """An append call under an id of its own."""
    return AppendCall(uuid4(), appends, checkpoints=checkpoints)


def transact(
    context: LedgerContext,
    decide: Decide,
    *,
    what: str,
    stream_cache: StreamCache | None = None,
    append: Callable[[AppendCall], Receipt] | None = None,
) -> Receipt | None:
    """Append what `decide` decides; on a conflict, let it decide again on what the log holds then.

    `what` names the thing that is written, for the error. `stream_cache` is what `decide` reads participants through:
    it is emptied before each further try. `append` stands in for the backend's own.

    Returns the receipt of the try of which every append was written; None when `decide` had nothing to append. On
    behalf of a request (`context.request`) that has written before, it returns what that wrote, and decides nothing.
    Raises `TooContended` when others keep writing to the same streams, and whatever `decide` raises.
    """
    if append is None:
        append = context.backend.append if context.observer is None else observed(context.observer, context.backend)
    for attempt in range(TRIES_MAX):
        written = _written_before(context)
        if written is not None:
            return written
        try:
            call = decide(attempt)
        except SagaledgerError:  # the same request may have written just now, and so be the reason
            written = _written_before(context)
            if written is not None:
                return written
            raise
        if call is None:
            return None
        try:
            receipt = append(call if context.request is None else context.request.signed(call))
        except AppendIdTaken:  # by the same request, which another thread or process makes at this moment
            continue
        if is_written(receipt):
            return receipt
        if stream_cache is not None:
            stream_cache.evict_all()
    raise TooContended(what)


def _written_before(context: LedgerContext) -> Receipt | None:
    return None if context.request is None else context.request.receipt(context.backend)


def is_written(receipt: Receipt) -> bool:
    """Whether every append of a call was written."""
    return all(isinstance(outcome, Appended) for outcome in receipt.outcomes)


def last_position(receipt: Receipt) -> int:
    """The position of the last event of a receipt of which every append was written."""
    return max(outcome.last_position for outcome in receipt.outcomes if isinstance(outcome, Appended))
