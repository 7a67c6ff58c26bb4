"""Sagas that a worker could not read and put back into the work queue: any worker may claim them after a while.

The queue's entry does not say why it is due later. What tells is the log: by its events the saga wants a worker now.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Final, NamedTuple

from ...domain.saga.evolve import rebuild
from ...domain.saga.state import Progress, SagaState, Status
from ..event_store.codec import UnreadableEvent
from ..event_store.event_row import StoredRow
from ..event_store.work_queue import QueueEntry
from .context import LedgerContext
from .queue_rule import want_of

PUT_BACK_SECONDS_MAX: Final = 30.0
"""The longest time after which a saga that was put back is due again."""
CANDIDATES_MAX: Final = 1_000
"""How many entries of the queue are looked into: others that are due so soon wait for a timer or for a retry."""
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
    soon = [(entry.due_at, entry) for entry in context.backend.entries() if _may_be_put_back(entry, now)]
    candidates = sorted((due_at, entry) for due_at, entry in soon if due_at is not None and due_at <= latest)
    found: list[PutBackSaga] = []
    for due_at, entry in candidates[:CANDIDATES_MAX]:
        saga_id, definition, version, *_ = entry
        try:
            state = _state_of(context, saga_id, context.backend.stream(saga_id))
        except UnreadableEvent as error:
            found.append(PutBackSaga(saga_id, definition, version, due_at, str(error)))
        else:
            if _wants_a_worker(context, state, now):
                found.append(PutBackSaga(saga_id, definition, version, due_at, None))
    return found


def put_back_until(context: LedgerContext, state: SagaState) -> datetime | None:
    """Return when a worker may claim a saga again that one could not read; None if none put it back."""
    now = context.clock.now()
    entry = next((entry for entry in context.backend.entries() if entry.saga_id == state.saga_id), None)
    if entry is None or not _may_be_put_back(entry, now) or not _wants_a_worker(context, state, now):
        return None
    return entry.due_at


def _may_be_put_back(entry: QueueEntry, now: datetime) -> bool:
    return entry.worker_id is None and entry.due_at is not None and entry.due_at > now


def _state_of(context: LedgerContext, saga_id: str, rows: Sequence[StoredRow]) -> SagaState:
    return rebuild(saga_id, [context.codec.decode(row).event for row in rows])


def _wants_a_worker(context: LedgerContext, state: SagaState, now: datetime) -> bool:
    """Whether a saga could go on now. Without its definition that is known of one that is not between two attempts."""
    if context.app.find_definition(state.definition, state.definition_version) is None:
        is_retrying = any(step.compensation.progress is Progress.RETRYING for step in state.steps.values())
        return state.status in (Status.RUNNING, Status.COMPENSATING) and not state.in_flight and not is_retrying
    due_at = want_of(context.app, state, now, lambda _: True).due_at
    return due_at is not None and due_at <= now
