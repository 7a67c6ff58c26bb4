"""Sagas that a worker could not read and put back into the work queue: any worker may claim them after a while.

The queue's entry does not say why it is due later. What tells is the log: by its events the saga wants a worker now.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from datetime import datetime, timedelta
from itertools import chain
from typing import Final, NamedTuple

from ...domain.saga.evolve import rebuild
from ...domain.saga.state import SagaState, Status
from ...domain.saga.step_state import Progress
from ..event_store.work_queue import QueueEntry
from .context import LedgerContext
from .queue_rule import want_of
from .stream_reader import read_streams

PUT_BACK_SECONDS_MAX: Final = 30.0
"""The longest time after which a saga that was put back is due again."""
CANDIDATES_MAX: Final = 1_000
"""How many entries of the queue are looked into: others that are due so soon wait for a timer or for a retry."""
SAGAS_PER_READ: Final = 100
CLOCKS_APART_SECONDS_MAX: Final = 60.0


class PutBackSaga(NamedTuple):
    """A saga that could go on, and that a worker left to others."""

    saga_id: str
    definition: str
    definition_version: int
    due_at: datetime
    """From then on a worker may try again."""
    why: str | None
    """Why this app cannot read the saga's own events; None if it can: a worker could not read what the saga needs."""


def put_back_sagas(context: LedgerContext) -> list[PutBackSaga]:
    """Return the sagas that were put back, as far as the log tells, in the order in which they are due again."""
    now = context.clock.now()
    latest = now + timedelta(seconds=PUT_BACK_SECONDS_MAX + CLOCKS_APART_SECONDS_MAX)
    queue = (
        (entry, due_at) for entry in context.backend.entries() if (due_at := _put_back_until(entry, now)) is not None
    )
    candidates = sorted((due_at, entry) for entry, due_at in queue if due_at <= latest)[:CANDIDATES_MAX]
    return [
        saga
        for begin in range(0, len(candidates), SAGAS_PER_READ)
        for saga in _put_back_among(context, candidates[begin : begin + SAGAS_PER_READ], now)
    ]


def put_back_until(context: LedgerContext, state: SagaState) -> datetime | None:
    """Return when a worker may claim a saga again that one could not read; None if none put it back."""
    now = context.clock.now()
    entry = context.backend.entry(state.saga_id)
    due_at = None if entry is None else _put_back_until(entry, now)
    return due_at if due_at is not None and _wants_a_worker(context, state, now) else None


def _put_back_until(entry: QueueEntry, now: datetime) -> datetime | None:
    """Return when an entry is due that may have been put back; None if it cannot have been."""
    return entry.due_at if entry.worker_id is None and entry.due_at is not None and entry.due_at > now else None


def _put_back_among(
    context: LedgerContext, candidates: Sequence[tuple[datetime, QueueEntry]], now: datetime
) -> Iterator[PutBackSaga]:
    reads = read_streams(context.backend, context.codec, [(entry.saga_id, 0) for _, entry in candidates])
    for due_at, (saga_id, definition, version, *_) in candidates:
        error = reads.unreadable.get(saga_id)
        if error is not None:
            yield PutBackSaga(saga_id, definition, version, due_at, str(error))
            continue
        state = rebuild(saga_id, (recorded.event for recorded in reads.readable.get(saga_id, ())))
        if _wants_a_worker(context, state, now):
            yield PutBackSaga(saga_id, definition, version, due_at, None)


def _wants_a_worker(context: LedgerContext, state: SagaState, now: datetime) -> bool:
    """Whether a saga could go on now. Without its definition that is known of one that is not between two attempts."""
    if context.app.find_definition(state.definition, state.definition_version) is None:
        made = chain(state.steps.items(), state.open_items)
        is_retrying = any(step.compensation.progress is Progress.RETRYING for _, step in made)
        return state.status in (Status.RUNNING, Status.COMPENSATING) and not state.in_flight and not is_retrying
    due_at = want_of(context.app, state, now, lambda _: True).due_at
    return due_at is not None and due_at <= now
