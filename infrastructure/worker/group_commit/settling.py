"""Settling: what follows here from the log's answer to each transition of a batch."""

from __future__ import annotations

import logging
from collections.abc import Sequence

from ...event_store.append_call import Appended, AppendOutcome, Conflict
from ...ledger.stream_cache import StreamCache
from ..coordination.contention import Contention
from ..held_sagas import HeldSaga, HeldSagas
from ..messages import Dispatch
from ..start_queue import StartQueue
from ..sub_sagas import SubSagas
from ..waiters import Waiters
from .redrafting import Redrafting
from .transition import Transition, context_of

log = logging.getLogger(__name__)


class Settler:
    """Applies what was written to the sagas held here, and collects the attempts to make and the replies to give."""

    def __init__(
        self,
        held: HeldSagas,
        starts: StartQueue,
        sub_sagas: SubSagas,
        waiters: Waiters,
        stream_cache: StreamCache,
        redrafting: Redrafting,
        contention: Contention,
        dispatches: list[Dispatch],
    ) -> None:
        self._held = held
        self._starts = starts
        self._sub_sagas = sub_sagas
        self._waiters = waiters
        self._stream_cache = stream_cache
        self._redrafting = redrafting
        self._contention = contention
        self._dispatches = dispatches

    def settle_batch(self, answered: Sequence[tuple[Transition, AppendOutcome]]) -> list[Transition]:
        """Settle a batch that the log has answered; returns the transitions that conflicted and were not written."""
        unwritten: list[Transition] = []
        contested: list[Conflict] = []
        for transition, outcome in answered:
            if isinstance(outcome, Conflict):
                self._discard(transition, outcome)
                unwritten.append(transition)
                if outcome.stream_id != transition.saga.saga_id:
                    contested.append(outcome)
            else:
                self.settle(transition, outcome)
        self._contention.note_conflicts(contested, len(answered))
        return unwritten

    def settle(self, transition: Transition, appended: Appended | None) -> None:
        """Apply a transition to its saga; `appended` is None when it had nothing to write."""
        transition.settle(appended)
        saga = transition.saga
        if appended is not None:
            if transition.draft.overlay:
                self._stream_cache.confirm(transition.draft.overlay)
            self._starts.confirm(saga.saga_id, appended.last_position)
        if transition.call_off:
            self._sub_sagas.call_off(transition)
        for attempt in transition.dispatch:
            context = context_of(saga.definition, saga.state, attempt)
            self._dispatches.append(Dispatch(saga, saga.definition.step(attempt.step), attempt, context))
        if transition.leaves:
            self._held.release(saga.saga_id)
            self._waiters.notify(saga.state)
            return
        self._held.wake_at(saga.saga_id, transition.wake_at)
        if transition.more or self._sub_sagas.unseen(transition):
            self._held.wake(saga.saga_id)

    def leave_alone(self, saga: HeldSaga, error: Exception) -> None:
        """Let go of a saga that cannot be decided on, until someone writes to it or another worker tries.

        Raises `Unavailable`.
        """
        start = self._starts.starting(saga.saga_id)
        if start is not None:
            self._starts.reject(start, error)
            self._held.release(saga.saga_id)
            return
        self._held.release(saga.saga_id)
        log.error("saga %s is left alone until someone writes to it: %s", saga.saga_id, error, exc_info=error)
        self._waiters.answer(saga.saga_id, error)

    def _discard(self, transition: Transition, conflict: Conflict) -> None:
        """Drop what a transition that was not written rested on. It costs its saga no attempt."""
        saga_id = transition.saga.saga_id
        if self._stream_cache.evict(transition.draft.overlay, conflict):
            self._redrafting.withdraw_all()
        start = self._starts.starting(saga_id)
        if start is not None and conflict.stream_id == saga_id:
            self._held.release(saga_id)
            self._starts.answer_existing(start)
