"""Group commit: the sagas in a worker's hands, and one append for all of them that are ready.

While the log writes one batch, the next one is drafted, of all that becomes ready until the log answers: never of a
saga whose last transition is still under way, but on what participants' streams will be once that is written. If it is
not, it is drafted again.
"""

from __future__ import annotations

import logging
from collections import deque
from collections.abc import Iterable, Sequence
from datetime import datetime
from functools import partial
from itertools import islice

from msgspec.structs import replace

from ....domain.errors import SagaledgerError
from ....domain.participant import Refused
from ....domain.recorded_event import Meta
from ....domain.saga.state import SagaState
from ...errors import Unavailable
from ...event_store.append_call import Appended, Conflict
from ...ledger.context import LedgerContext
from ...ledger.saga_start import SagaStart, Started
from ...ledger.state_reader import saga_events
from ...ledger.stream_cache import NotDecidableYet, StreamCache, StreamsUnsettled
from ..coordination.contention import Contention
from ..coordination.lease import Lease
from ..messages import Dispatch, StartSaga, TurnResult
from ..start_requests import StartRequestHandler
from ..stream_reader import read_streams
from ..sub_sagas import SubSagas
from ..timers import Timers
from ..waiters import Waiters
from .batch import BATCH_SAGAS_MAX, TransitionBatch
from .pipeline import Pipeline
from .transition import HeldSaga, Transition, context_of

log = logging.getLogger(__name__)


class GroupCommit:
    """Drafts and appends what follows for the sagas held here; what comes of it goes to `outbox`."""

    def __init__(self, context: LedgerContext, lease: Lease, watches: Waiters, outbox: TurnResult) -> None:
        self._context = context
        self._log = context.backend
        self._lease = lease
        self._watches = watches
        self._outbox = outbox
        self._stream_cache = StreamCache(context.app, context.backend, context.codec, between_reads=lease.keep)
        self._starting: dict[str, StartSaga] = {}
        self._sub_sagas = SubSagas(context, self._start_nested)
        self.rivals = Contention(context.backend, context.codec, lease, context.clock.monotonic)
        self.requests = StartRequestHandler(context)
        self.executions: dict[str, HeldSaga] = {}
        self.ready: dict[str, HeldSaga] = {}
        self.disputed: set[str] = set()
        """The sagas that another worker drives, too: whose they are has to be asked."""
        self.starts: deque[StartSaga] = deque()
        self.size_bytes = 0
        """Of all of them together."""
        self.timers = Timers()
        self.pipeline = Pipeline(context.backend, lease, context.clock)
        self._undecided: set[str] = set()
        """The sagas that could not be drafted until more is written; they are tried again after the next answer."""
        self.draining = False
        """Begin nothing new: outcomes are recorded, and nothing follows from them here."""

    def has_begun(self, saga_id: str) -> bool:
        """Whether it is held, and not only about to be started here."""
        execution = self.executions.get(saga_id)
        return execution is not None and execution.saga_start is None

    def add(self, execution: HeldSaga) -> None:
        """Hold a saga, and decide what it does next; a start of it that waits here came too late, and is answered."""
        start = self._starting.get(execution.saga_id)
        if start is not None and execution.saga_start is None:
            self._already(start)
        self._withdraw([execution.saga_id])
        self._drop(execution)
        self.size_bytes += execution.size_bytes
        self.executions[execution.saga_id] = self.ready[execution.saga_id] = execution

    def wake(self, saga_id: str) -> None:
        """Decide again, if it is held."""
        execution = self.executions.get(saga_id)
        if execution is not None:
            self.ready[saga_id] = execution

    def let_go_of_disputed(self) -> set[str]:
        """Hold no saga any longer that another worker drives, too; gives which those are."""
        disputed, self.disputed = self.disputed, set()
        self._withdraw(disputed)
        for saga_id in disputed & self.executions.keys():
            self._drop(self.executions[saga_id])
        return disputed

    def refresh(self, executions: Sequence[HeldSaga]) -> None:
        """Fold what others wrote to these sagas, those that are held still, and decide again. Raises `Unavailable`."""
        executions = [execution for execution in executions if execution.saga_id in self.executions]
        if not executions:
            return
        self._withdraw([execution.saga_id for execution in executions])
        begun = [execution for execution in executions if execution.saga_start is None]
        after = [(execution.saga_id, execution.state.version) for execution in begun]
        histories = read_streams(self._log, self._context.codec, after)
        for execution in begun:
            history = histories.readable.get(execution.saga_id, ())
            execution.fold(history)
            if any(recorded.meta.worker not in (None, self._lease.epoch.worker_id) for recorded in history):
                self.disputed.add(execution.saga_id)
        for execution in executions:
            unreadable = histories.unreadable.get(execution.saga_id)
            if unreadable is None:
                self.ready[execution.saga_id] = execution
            else:
                self._leave_alone(execution, unreadable)

    def admit(self, room: int) -> None:
        """Take in sagas to be started, as far as there is room; the same one again is answered."""
        for _ in range(min(len(self.starts), room, BATCH_SAGAS_MAX)):
            start = self.starts.popleft()
            saga_id = start.saga_start.saga_id
            if saga_id in self._starting:
                self.starts.append(start)
            elif saga_id in self.executions:
                self._already(start)
            else:
                execution = HeldSaga(saga_id, start.saga_start.definition, SagaState(saga_id), None)
                execution.saga_start = start.saga_start
                execution.size_bytes = len(start.saga_start.input)
                self._starting[saga_id] = start
                self.add(execution)

    def commit(self, now: datetime) -> None:
        """Draft the sagas that are ready, as many as have room; settle what was sent before, and send these.

        While the log writes, it returns at once, as long as others that are held here may become ready meanwhile; they
        go out with those that are drafted already. When there is nobody else to see to, it waits for the log.

        Raises `SupersededWorker` and `Unavailable`.
        """
        self._draft_ready(now)
        if self.pipeline.may_grow(len(self.executions)):
            return
        stale = self._settle_sent()
        self._sub_sagas.ask_to_turn_back()  # it appends: not while this worker waits for an answer
        self.pipeline.send()
        self.refresh(stale)
        self._stream_cache.trim()
        if self.rivals.met():
            self._hand_back()
        if not (self._outbox.dispatch or self._outbox.replies or self.pipeline.may_grow(len(self.executions))):
            self.settle()

    def settle(self) -> None:
        """Wait for what was sent. Raises `SupersededWorker` and `Unavailable`."""
        self.refresh(self._settle_sent())

    @property
    def idle(self) -> bool:
        """Whether there is nothing to draft, and nothing to settle."""
        return not (self.ready or self.pipeline.under_way)

    @property
    def has_starts(self) -> bool:
        """Whether some saga waits to be taken in that is not about to be started already."""
        return any(start.saga_start.saga_id not in self._starting for start in self.starts)

    @property
    def busy(self) -> bool:
        """Whether there is something to do before the log answers, or anything else happens."""
        if self.pipeline.pending is None:
            return not self.idle
        return any(execution.saga_id not in self._undecided for execution in self.pipeline.beside(self.ready))

    def forget(self) -> None:
        """Believe nothing of participants that was not read again: what was drafted may not have been written."""
        self.draft_afresh()
        self._stream_cache.evict_all()

    def draft_afresh(self) -> None:
        """Decide again on everything that is drafted and not sent."""
        self._draft_again(list(self.pipeline.drafted.transitions.values()))

    def start_afresh(self) -> None:
        """The lease was lost: others go on with everything held here. Starts that were not written are kept.

        Not those of sub-sagas: whoever goes on with the saga that one is a step of starts it, or has turned back.
        """
        waiting = [*self._starting.values(), *self.starts]
        self.starts.clear()
        self.starts.extend(start for start in waiting if start.saga_start.parent is None)
        for held in (self.executions, self.ready, self.timers, self.disputed, self._starting, self._outbox.dispatch):
            held.clear()
        self.pipeline.empty()
        self.size_bytes = 0
        self._sub_sagas.forget()
        self.forget()

    def _draft_ready(self, now: datetime) -> None:
        """Draft what follows for the sagas that are free, as many as have room."""
        batch = self.pipeline.drafted
        free = (held for held in self.pipeline.beside(self.ready) if held.saga_id not in self._undecided)
        ready = list(islice(free, self.pipeline.room(len(self.executions))))
        if not ready:
            return
        self._sub_sagas.look(ready)
        builders = [partial(self._draft, execution, now, batch) for execution in ready]
        self._stream_cache.build(builders, unsettled=self.pipeline.stream_ids)
        batch.stream_ids |= self._stream_cache.written

    def _draft(self, execution: HeldSaga, now: datetime, batch: TransitionBatch) -> None:
        """Draft the next append of a saga, unless the batch is full, or the saga cannot be drafted at all."""
        if batch.spent:
            return
        start = self._starting.get(execution.saga_id)
        meta = self._lease.meta if start is None else replace(self._lease.meta, actor=start.meta.actor)
        draft = self._stream_cache.draft(execution.saga_id, meta, causation_position=execution.position)
        worker_id = self._lease.epoch.worker_id
        transition = Transition(
            execution, execution.definition, execution.state, draft, worker_id, now, draining=self.draining
        )
        try:
            transition.build()
        except StreamsUnsettled:
            self._undecided.add(execution.saga_id)
            raise
        except NotDecidableYet:
            raise
        except Exception as error:  # noqa: BLE001 -- one saga's trouble is not the others': it is said, and answered
            self._leave_alone(execution, error)
            return
        self.ready.pop(execution.saga_id, None)
        if not transition.writes:
            self._settle(transition, None)
            return
        if draft.overlay:
            self._stream_cache.stage(draft.overlay)
        batch.add(transition)

    def _withdraw(self, saga_ids: Iterable[str]) -> None:
        """Do not send what is drafted of these: it rests on what was known of them before."""
        drafted = self.pipeline.drafted.transitions
        withdrawn = [drafted[saga_id] for saga_id in saga_ids if saga_id in drafted]
        if withdrawn:
            self._draft_again(withdrawn)

    def _draft_again(self, unwritten: Sequence[Transition]) -> None:
        """Decide again on what is drafted of these, or has a stream in common with them."""
        for transition in self.pipeline.drafted.withdraw(unwritten):
            self._stream_cache.evict(transition.draft.overlay)
            self.wake(transition.execution.saga_id)

    def _settle_sent(self) -> list[HeldSaga]:
        """Wait for what was sent, and settle it; gives those to which someone else wrote before.

        What was drafted on events that were not written is decided again.
        """
        answered = self.pipeline.receive()
        self._undecided.clear()
        if not answered:
            return []
        stale: list[Transition] = []
        contested: list[Conflict] = []
        for transition, outcome in answered:
            if isinstance(outcome, Conflict):
                self._give_way(transition, outcome)
                stale.append(transition)
                if outcome.stream_id != transition.execution.saga_id:
                    contested.append(outcome)
            else:
                self._settle(transition, outcome)
        self.rivals.note(contested, len(answered))
        if stale:
            self._draft_again(stale)
        else:
            drafted = self.pipeline.drafted.transitions.values()
            self._stream_cache.snapshot(unsent=[transition.draft.overlay for transition in drafted])
        return [transition.execution for transition in stale]

    def _settle(self, transition: Transition, outcome: Appended | None) -> None:
        """What was drafted is durable: make its attempts, answer who asked, let go of what is over."""
        transition.settle(outcome)
        if outcome is not None and transition.draft.overlay:
            self._stream_cache.confirm(transition.draft.overlay)
        execution = transition.execution
        start = self._starting.pop(execution.saga_id, None)
        if start is not None and outcome is not None:
            self._answer(start, Started(execution.saga_id, outcome.last_position, created=True))
        if transition.call_off:
            self._sub_sagas.call_off(transition)
        for run in transition.dispatch:
            context = context_of(execution.definition, execution.state, run)
            self._outbox.dispatch.append(Dispatch(execution, execution.definition.step(run.step), run, context))
        if transition.leaves:
            self._drop(execution)
            self._outbox.replies.extend(self._watches.tell(execution.state))
            return
        self.timers.set(execution.saga_id, transition.wake_at)
        if transition.more or self._sub_sagas.unseen(transition):
            self.ready[execution.saga_id] = execution

    def _give_way(self, transition: Transition, conflict: Conflict) -> None:
        """Nothing was written: believe nothing of what it rested on. It costs no attempt."""
        execution = transition.execution
        if self._stream_cache.evict(transition.draft.overlay, conflict):
            self.draft_afresh()
        start = self._starting.get(execution.saga_id)
        if start is not None and conflict.stream_id == execution.saga_id:
            self._drop(execution)
            self._already(start)

    def _already(self, start: StartSaga) -> None:
        """Answer a start whose saga is there: the same one again is one saga."""
        saga_id = start.saga_start.saga_id
        try:
            answer = start.saga_start.already(saga_events(self._context, saga_id))
        except Unavailable:  # nobody may take that for an answer: it is tried again
            if self._starting.get(saga_id) is start:
                del self._starting[saga_id]
            self.starts.append(start)
        except SagaledgerError as error:
            self._answer(start, error)
        else:
            self._answer(start, answer)

    def _answer(self, start: StartSaga, answer: Started | Exception) -> None:
        saga_id = start.saga_start.saga_id
        if self._starting.get(saga_id) is start:
            del self._starting[saga_id]
        parent = self._sub_sagas.started(saga_id, answer if isinstance(answer, Exception) else None)
        if parent is not None:
            self.wake(parent.saga_id)
        if start.request_id is not None:
            self.requests.answer(start.request_id, str(answer) if isinstance(answer, Exception) else None)
        if start.reply is not None:
            self._outbox.replies.append(partial(start.reply.give, answer))

    def _start_nested(self, saga_start: SagaStart) -> None:
        self.starts.append(
            StartSaga(
                saga_start, Meta(actor=None if saga_start.parent is None else f"saga {saga_start.parent.saga_id}"), None
            )
        )

    def _hand_back(self) -> None:
        """Leave to others the sagas with local steps of which nothing is under way here.

        They are let go of first: if the database does not hear of it, it still says who holds them, and is asked again.
        Raises `Unavailable`.
        """
        handed = [
            execution
            for execution in self.pipeline.beside(self.ready)
            if execution.definition.has_local_steps
            and execution.saga_start is None
            and not (execution.outcomes or execution.state.in_flight)
        ]
        for execution in handed:
            self._drop(execution)
        self._log.release(self._lease.epoch, [execution.saga_id for execution in handed])

    def _leave_alone(self, execution: HeldSaga, error: Exception) -> None:
        """Let go of a saga that nothing can be decided for, until someone writes to it or another worker tries."""
        start = self._starting.get(execution.saga_id)
        # Participants that began with this saga refuse to begin again, if it is there already.
        is_there = start is not None and isinstance(error, Refused) and self._log.stream(execution.saga_id, upto=1)
        self._drop(execution)
        if start is not None:
            if is_there:
                self._already(start)
            else:
                self._answer(start, error)
            return
        log.error("saga %s is left alone until someone writes to it: %s", execution.saga_id, error, exc_info=error)
        self._outbox.replies.extend(self._watches.answer(execution.saga_id, error))

    def _drop(self, execution: HeldSaga) -> None:
        held = self.executions.pop(execution.saga_id, None)
        self.size_bytes -= held.size_bytes if held is not None else 0
        self.ready.pop(execution.saga_id, None)
        self.timers.set(execution.saga_id, None)
