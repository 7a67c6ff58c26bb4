"""The saga on whose behalf code runs, for what such code writes to the ledger by other means than its saga."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Final

current_saga: Final[ContextVar[str | None]] = ContextVar("sagaledger_current_saga", default=None)
"""Its id. A worker sets it in the task of each attempt; a thread of a step inherits it."""


@contextmanager
def correlated_with(saga_id: str) -> Iterator[None]:
    """Let the events that an application of the `eventsourcing` library saves in this block carry a saga's id.

    Within a step a worker has done so already. Use it where a step asks another program to save events.
    """
    token = current_saga.set(saga_id)
    try:
        yield
    finally:
        current_saga.reset(token)
