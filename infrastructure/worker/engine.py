"""The engine: everything a worker does but running steps, one turn after the other.

A turn takes in what happened, drafts every saga that is ready, appends all of it in one call (group commit), and says
which attempts to make next. It is synchronous and belongs to one thread; what is ready is written as soon as the
engine is free, so batching never delays a lone saga.
"""

from __future__ import annotations

import logging
from collections import deque
from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from functools import partial
from heapq import heappop, heappush
from time import monotonic, sleep
from uuid import uuid4

from msgspec.structs import replace

from ...domain.errors import SagaledgerError
from ...domain.participant import Refused
from ...domain.recorded import Recorded
from ...domain.state import SagaState, rebuild
from ..committer import Committer, StreamsMissing
from ..errors import OutcomeUnknown, SupersededWorker, Unavailable
from ..ledger import Ledger, Started
from ..log.port import Append, AppendCall, Appended, Claim, Conflict, Outcome
from .lease import Lease
from .message import Attempted, Dispatch, Idle, Message, Start, Turn, Watch
from .transition import Execution, Transition, context_of

log = logging.getLogger(__name__)

BATCH_SAGAS_MAX = 500
BATCH_EVENTS_MAX = 4_000
BATCH_BYTES_MAX = 8 * 1024 * 1024
POLL_SECONDS = 0.1
RETRY_SECONDS_MAX = 1.0


class Engine:
    """Drives the sagas that one worker holds."""

    def __init__(
        self,
        ledger: Ledger,
        *,
        concurrency: int,
        lease_seconds: float,
        clock: Callable[[], datetime] = lambda: datetime.now(UTC),
    ) -> None:
        self._ledger = ledger
        self._log = ledger.backend
        self._clock = clock
        self._concurrency = concurrency
        self._definitions = [(d.name, d.version) for d in ledger.app.definitions]
        self._committer = Committer(ledger.app, ledger.backend, ledger.mapper)
        self._executions: dict[str, Execution] = {}
        self._ready: dict[str, Execution] = {}
        self._timers: list[tuple[datetime, str]] = []
        self._starts: deque[Start] = deque()
        self._starting: dict[str, Start] = {}
        self._watches: dict[str, list[Watch]] = {}
        self._idle: list[Idle] = []
        self._poll_at = 0.0
        self._turn = Turn([], [])
        self.draining = False
        """Set to begin nothing new: outcomes are recorded, and nothing follows from them here."""
        self.giving_up = False
        """Set to stop trying to append to a database that does not answer."""
        self.lease = Lease(ledger.backend, lease_seconds)

    @property
    def held(self) -> int:
        """How many sagas it holds."""
        return len(self._executions)

    def seconds_to_wait(self) -> float:
        """How long there is nothing to do, unless a message comes."""
        if self._ready or (self._starts and self._room):
            return 0.0
        wait = max(0.0, min(self._poll_at, self.lease.renew_at) - monotonic())
        if self._timers:
            wait = min(wait, max(0.0, (self._timers[0][0] - self._clock()).total_seconds()))
        return wait

    def turn(self, messages: Sequence[Message]) -> Turn:
        """Take in what happened, append what follows, and give the attempts to make.

        Raises what cannot be handled by trying again: then the worker must stop.
        """
        self._turn = Turn([], [])
        for message in messages:
            self._take(message)
        try:
            self.lease.renew()
            self._fire_timers()
            self._poll()
            self._commit()
        except SupersededWorker as superseded:
            log.warning("%s: it starts afresh", superseded)
            self._start_afresh()
        except Unavailable as unavailable:
            log.warning("%s (trying again)", unavailable)
            self._poll_at = monotonic() + RETRY_SECONDS_MAX
        return self._turn

    # What happened

    def _take(self, message: Message) -> None:
        match message:
            case Attempted(execution, run, outcome):
                execution.outcomes.append((run, outcome))
                if self._executions.get(execution.saga_id) is execution:
                    self._ready[execution.saga_id] = execution
            case Start():
                self._starts.append(message)
            case Watch(saga_id):
                self._watches.setdefault(saga_id, []).append(message)
                self._poll_at = 0.0 if saga_id not in self._executions else self._poll_at
            case Idle():
                self._idle.append(message)
                self._poll_at = 0.0

    def _fire_timers(self) -> None:
        now = self._clock()
        while self._timers and self._timers[0][0] <= now:
            execution = self._executions.get(heappop(self._timers)[1])
            if execution is not None and execution.wake_at is not None and execution.wake_at <= now:
                self._ready[execution.saga_id] = execution

    @property
    def _room(self) -> int:
        """How many more sagas it may hold."""
        return 0 if self.draining else self._concurrency - len(self._executions)

    def _poll(self) -> None:
        """Look for sagas to take, and at those held here to which someone else wrote."""
        if monotonic() < self._poll_at:
            return
        self._poll_at = monotonic() + POLL_SECONDS
        nudged = self._log.nudged(self.lease.epoch)
        self._refresh([self._executions[saga_id] for saga_id in nudged if saga_id in self._executions])
        claims: list[Claim] = []
        limit = min(self._room, BATCH_SAGAS_MAX)
        if limit > 0:
            claims = self._log.claim(self.lease.epoch, definitions=self._definitions, limit=limit)
            self._adopt(claims)
            if len(claims) == limit:
                self._poll_at = 0.0
        self._look_at_watched()
        if self._idle and not (claims or self._executions or self._starts):
            self._turn.replies.extend(partial(idle.reply, None) for idle in self._idle)
            self._idle.clear()

    def _adopt(self, claims: Sequence[Claim]) -> None:
        """Rebuild the claimed sagas from their facts, in one query."""
        histories = self._read([(claim.saga_id, 0) for claim in claims])
        for claim in claims:
            history = histories.get(claim.saga_id)
            if history is None:
                log.error("saga %s is due and has no readable history: run `sagaledger verify`", claim.saga_id)
                continue
            definition = self._ledger.app.definition(claim.definition, claim.definition_version)
            state = rebuild(claim.saga_id, (recorded.event for recorded in history))
            execution = Execution(claim.saga_id, definition, state, history[-1].position)
            self._executions[claim.saga_id] = self._ready[claim.saga_id] = execution

    def _refresh(self, executions: Sequence[Execution]) -> None:
        """Fold what others wrote to these sagas, and decide again."""
        histories = self._read([(e.saga_id, e.state.version) for e in executions])
        for execution in executions:
            execution.fold(histories.get(execution.saga_id, ()))
            self._ready[execution.saga_id] = execution

    def _read(self, after: Sequence[tuple[str, int]]) -> dict[str, list[Recorded]]:
        """The events of many streams; a stream that cannot be decoded is left out, and that is said."""
        histories: dict[str, list[Recorded]] = {}
        broken: set[str] = set()
        for row in self._log.streams(after) if after else ():
            try:
                histories.setdefault(row.stream_id, []).append(self._ledger.mapper.to_recorded(row))
            except SagaledgerError as error:
                log.error("saga %s is left alone: %s", row.stream_id, error)  # noqa: TRY400 -- the message says it all
                broken.add(row.stream_id)
        return {stream_id: history for stream_id, history in histories.items() if stream_id not in broken}

    def _look_at_watched(self) -> None:
        """Answer those who watch sagas that are over and not held here."""
        elsewhere = [saga_id for saga_id in self._watches if saga_id not in self._executions]
        for saga_id, history in self._read([(saga_id, 0) for saga_id in elsewhere]).items():
            self._tell(rebuild(saga_id, (recorded.event for recorded in history)))

    def _tell(self, state: SagaState) -> None:
        if state.end is not None or state.interventions:
            watches = self._watches.pop(state.saga_id, ())
            self._turn.replies.extend(partial(watch.reply, state) for watch in watches)

    # What follows

    def _commit(self) -> None:
        """Draft every saga that is ready, append all of it in one call, and settle each."""
        self._admit()
        budget = Budget()
        now = self._clock()
        ready = list(self._ready.values())[:BATCH_SAGAS_MAX]
        drafted = self._committer.build([partial(self._draft, execution, now, budget) for execution in ready])
        batch = [transition for transition in drafted if transition is not None]
        if not batch:
            return
        outcomes = iter(self._append([transition.append() for transition in batch if transition.writes]))
        stale: list[Execution] = []
        for transition in batch:
            self._ready.pop(transition.execution.saga_id, None)
            outcome = next(outcomes) if transition.writes else None
            if isinstance(outcome, Conflict):
                stale += self._give_way(transition, outcome)
            else:
                self._settle(transition, outcome)
        self._refresh(stale)
        if not stale:
            self._committer.snapshot()
        self._committer.trim()

    def _admit(self) -> None:
        """Take in sagas to be started, as far as there is room; one that is running here waits for its end."""
        for _ in range(min(len(self._starts), self._room, BATCH_SAGAS_MAX)):
            start = self._starts.popleft()
            saga_id = start.opening.saga_id
            if saga_id in self._starting:
                self._starts.append(start)
            elif saga_id in self._executions:
                self._already(start)
            else:
                execution = Execution(saga_id, start.opening.definition, SagaState(saga_id), None)
                execution.opening = start.opening
                self._starting[saga_id] = start
                self._executions[saga_id] = self._ready[saga_id] = execution

    def _draft(self, execution: Execution, now: datetime, budget: Budget) -> Transition | None:
        """The next append of a saga; None when this batch is full, or the saga cannot be drafted at all."""
        if budget.spent:
            return None
        start = self._starting.get(execution.saga_id)
        meta = self.lease.meta if start is None else replace(self.lease.meta, actor=start.meta.actor)
        draft = self._committer.draft(execution.saga_id, meta, causation_position=execution.position)
        transition = Transition(execution, draft, self.lease.epoch.worker_id, now, draining=self.draining)
        try:
            transition.build()
        except StreamsMissing:
            raise
        except Exception as error:
            self._ready.pop(execution.saga_id, None)
            if start is None:
                log.exception("saga %s is left alone until this worker ends", execution.saga_id)
            else:
                self._drop(execution)
                if isinstance(error, Refused) and self._log.stream(execution.saga_id, upto=1):
                    self._already(start)  # its participants began with it, and refuse to begin again
                else:
                    self._answer(start, error)
            return None
        self._committer.keep(draft.overlay)
        budget.spend(len(draft.events), draft.size_bytes)
        return transition

    def _append(self, appends: list[Append]) -> list[Outcome]:
        """Append until the outcome is known; the same call again is harmless."""
        if not appends:
            return []
        call = AppendCall(uuid4(), appends, self.lease.epoch)
        wait_seconds = 0.01
        while True:
            try:
                return self._log.append(call).outcomes
            except (Unavailable, OutcomeUnknown) as error:
                if self.giving_up:
                    raise
                log.warning("%s (trying again)", error)
                sleep(wait_seconds)
                wait_seconds = min(2 * wait_seconds, RETRY_SECONDS_MAX)

    def _settle(self, transition: Transition, outcome: Appended | None) -> None:
        """What was drafted is durable: make its attempts, answer who asked, let go of what is over."""
        transition.settle(outcome)
        execution = transition.execution
        start = self._starting.pop(execution.saga_id, None)
        if start is not None and outcome is not None:
            self._answer(start, Started(execution.saga_id, outcome.last_position, created=True))
        for run in transition.dispatch:
            context = context_of(execution.definition, execution.state, run)
            self._turn.dispatch.append(Dispatch(execution, run, context))
        if transition.leaves:
            self._drop(execution)
            self._tell(execution.state)
        elif transition.more or execution.outcomes:
            self._ready[execution.saga_id] = execution
        elif transition.wake_at is not None:
            heappush(self._timers, (transition.wake_at, execution.saga_id))

    def _give_way(self, transition: Transition, conflict: Conflict) -> list[Execution]:
        """Nothing was written: learn what others wrote, and decide again. It costs no attempt."""
        execution = transition.execution
        self._committer.forget(transition.draft.overlay)
        start = self._starting.get(execution.saga_id)
        if start is not None and conflict.stream_id == execution.saga_id:
            self._drop(execution)
            self._already(start)
            return []
        return [execution]

    def _already(self, start: Start) -> None:
        """Answer a start whose saga is there: the same one again is one saga."""
        self._starting.pop(start.opening.saga_id, None)
        try:
            self._answer(start, start.opening.already(self._ledger.history(start.opening.saga_id, participants=False)))
        except SagaledgerError as error:
            self._answer(start, error)

    def _answer(self, start: Start, answer: Started | Exception) -> None:
        self._starting.pop(start.opening.saga_id, None)
        self._turn.replies.append(partial(start.reply, answer))

    def _drop(self, execution: Execution) -> None:
        self._executions.pop(execution.saga_id, None)
        self._ready.pop(execution.saga_id, None)

    def _start_afresh(self) -> None:
        """The lease was lost: others go on with everything held here. Starts that were not written are kept."""
        self._starts.extendleft(reversed(self._starting.values()))
        for held in (self._executions, self._ready, self._timers, self._starting):
            held.clear()
        self._committer.forget_all()
        self.lease.take()


class Budget:
    """How much one append call may still carry."""

    def __init__(self) -> None:
        self._events = BATCH_EVENTS_MAX
        self._bytes = BATCH_BYTES_MAX

    @property
    def spent(self) -> bool:
        """Whether it is used up; the last one in may exceed it."""
        return self._events <= 0 or self._bytes <= 0

    def spend(self, events: int, size_bytes: int) -> None:
        """Take this much of it."""
        self._events -= events
        self._bytes -= size_bytes
