"""Settling: what follows here from the log's answer to each transition of a batch."""

from __future__ import annotations

from collections.abc import Sequence

from ....domain.errors import UnknownEvent
from ...event_store.append_call import Appended, Conflict
from ...event_store.codec import UnreadableEvent
from ...ledger.stream_cache import StreamCache
from ..coordination.contention import Contention
from ..coordination.put_backs import PutBacks
from ..held_sagas import HeldSaga, HeldSagas
from ..messages import Dispatch, TurnResult, UnwantedStep
from ..saga_log import log_fault, log_transition
from ..start_queue import StartQueue
from ..sub_sagas import SubSagas
from ..waiters import Waiters
from .in_flight import Rejected, TransitionOutcome
from .redrafting import Redrafting
from .transition import Transition, context_of


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
        put_backs: PutBacks,
        result: TurnResult,
    ) -> None:
        self._held = held
        self._starts = starts
        self._sub_sagas = sub_sagas
        self._waiters = waiters
        self._stream_cache = stream_cache
        self._redrafting = redrafting
        self._contention = contention
        self._put_backs = put_backs
        self._result = result

    def settle_batch(self, answered: Sequence[tuple[Transition, TransitionOutcome]]) -> list[Transition]:
        """Settle a batch that the log has answered; returns the transitions that were not written."""
        unwritten: list[Transition] = []
        contested: list[Conflict] = []
        for transition, outcome in answered:
            if isinstance(outcome, Conflict):
                self._discard(transition, outcome)
                unwritten.append(transition)
                if outcome.stream_id != transition.saga.saga_id:
                    contested.append(outcome)
            elif isinstance(outcome, Rejected):
                self._stream_cache.evict(transition.draft.overlay)
                unwritten.append(transition)
                if outcome.error is not None:
                    self.leave_alone(transition.saga, outcome.error)
            else:
                self.settle(transition, outcome)
        self._contention.note_conflicts(contested, len(answered))
        return unwritten

    def settle(self, transition: Transition, appended: Appended | None) -> None:
        """Apply a transition to its saga; `appended` is None when it had nothing to write."""
        saga = transition.saga
        state = transition.state
        # Most transitions have nothing to log, and pay for these questions only.
        if saga.saga_start is not None or state.end is not None or state.interventions or transition.failures:
            log_transition(transition, saga.state)
        transition.settle(appended)
        if appended is not None:
            if transition.draft.overlay:
                self._stream_cache.confirm(transition.draft.overlay)
            self._starts.confirm(saga.saga_id, appended.last_position)
        if transition.call_off:
            self._sub_sagas.call_off(transition)
        for attempt in transition.dispatch:
            context = context_of(saga.definition, saga.state, attempt)
            self._result.dispatch.append(
                Dispatch(saga, saga.definition.step(attempt.step), attempt, context, transition.worker_id)
            )
        if transition.unwanted:
            pivot = saga.definition.pivot
            in_doubt = pivot if pivot is not None and saga.state.step(pivot).forward.possibly_executed else None
            self._result.unwanted.extend(
                UnwantedStep(saga.saga_id, step, step == in_doubt) for step in transition.unwanted
            )
        if transition.leaves:
            self._held.release(saga.saga_id)
            self._waiters.notify(saga.state)
            return
        if saga.unread is not None and not (saga.outcomes or saga.state.in_flight):
            self._put_back(saga, saga.unread)
            return
        self._held.wake_at(saga.saga_id, transition.wake_at)
        if transition.more or (transition.awaits and self._sub_sagas.unseen(transition)):
            self._held.wake(saga.saga_id)

    def leave_alone(self, saga: HeldSaga, error: Exception) -> None:
        """Deal with a saga that cannot be read, decided on or written, for whatever reason.

        A start that cannot be made is rejected. A saga that this worker cannot read, and another one may, is put back
        for others. Any other saga asks for a person in its next transition. Raises `Unavailable`, and the error itself
        if that transition fails as well: then the saga is not the reason.
        """
        start = self._starts.starting(saga.saga_id)
        if start is not None and isinstance(error, UnreadableEvent) and saga.unread is None:
            saga.unread = error  # starting may not need that event: its first local step does
            self._held.wake(saga.saga_id)
        elif start is not None:
            self._starts.reject(start, error)
            self._held.release(saga.saga_id)
        elif isinstance(error, UnreadableEvent) and _others_may_read(saga, error):
            is_recordable = error.stream_id != saga.saga_id and saga.unread is None
            if is_recordable and (saga.outcomes or saga.state.in_flight):
                saga.unread = error
                self._held.wake(saga.saga_id)
            else:
                self._put_back(saga, error)
        elif saga.fault is not None:
            raise error
        else:
            log_fault(saga, error, self._put_backs.worker_id)
            saga.fault = error
            self._held.wake(saga.saga_id)

    def _put_back(self, saga: HeldSaga, error: UnreadableEvent) -> None:
        self._held.release(saga.saga_id)
        self._put_backs.add(saga.saga_id, saga.definition.name, saga.definition.version, error)
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


def _others_may_read(saga: HeldSaga, error: UnreadableEvent) -> bool:
    """Whether nothing can be recorded for a saga, or a newer worker can go on with it.

    Without reading all of a saga's own stream nothing can be written to it. An event of a participant that this worker
    does not know is no one's fault, and newer workers know it.
    """
    return error.stream_id == saga.saga_id or isinstance(error.__cause__, UnknownEvent)
