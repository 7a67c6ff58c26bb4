"""The engine: everything a worker does but running steps, one turn after the other.

A turn takes in what happened, drafts the sagas that are ready, sends them all in one call (group commit) when the one
before is answered, and says which attempts to make next. It is synchronous and belongs to one thread; what is ready is
written as soon as the engine and the log are free, so batching never delays a lone saga.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from functools import partial

from ...domain.saga.evolve import rebuild
from ..errors import OutcomeUnknown, SupersededWorker, Unavailable
from ..event_store.event_row import STATE_BYTES_MAX
from ..event_store.work_queue import Claim
from ..ledger.context import LedgerContext
from .coordination.lease import Lease
from .group_commit.batch import BATCH_SAGAS_MAX
from .group_commit.group_commit import GroupCommit
from .group_commit.transition import HeldSaga
from .messages import AttemptEnded, AwaitIdle, AwaitOutcome, Drain, EngineMessage, StartSaga, TurnResult
from .stream_reader import StreamReads, read_streams
from .waiters import Waiters

log = logging.getLogger(__name__)

POLL_SECONDS = 0.1
HELD_BYTES_MAX = 128 * 1024 * 1024
"""How much of what users put in the sagas held here may keep in memory; whatever comes next must fit, too."""
AWAY_SECONDS_MIN = 0.05
AWAY_SECONDS_MAX = 1.0


class Engine:
    """Drives the sagas that one worker holds."""

    def __init__(
        self,
        context: LedgerContext,
        *,
        concurrency: int,
        lease_seconds: float,
    ) -> None:
        self._context = context
        self._log = context.backend
        self._monotonic = context.clock.monotonic
        self._concurrency = concurrency
        self._definitions = [(d.name, d.version) for d in context.app.definitions]
        self._calling_out = [(d.name, d.version) for d in context.app.definitions if not d.has_local_steps]
        self._watches = Waiters()
        self._idle: list[AwaitIdle] = []
        self._drains: list[Drain] = []
        self._outbox = TurnResult([], [])
        self._poll_at = 0.0
        self._away_until = 0.0
        self._away_seconds = AWAY_SECONDS_MIN
        self._in_doubt = False
        """The database was away: what it says this worker holds, and what it was told of, has to be asked again."""
        self._lease = Lease(context.backend, lease_seconds, self._monotonic)
        self._clock = self._lease.now
        self._held = GroupCommit(context, self._lease, self._watches, self._outbox)

    def turn(self, messages: Sequence[EngineMessage]) -> TurnResult:
        """Take in what happened, append what follows, and give the attempts to make.

        Raises what cannot be handled by trying again: then the worker must stop.
        """
        for message in messages:
            self._take(message)
        if self._monotonic() < self._away_until:
            return self._hand_out()
        try:
            self._lease.hold()
            self._poll()
            self._commit()
            self._away_seconds = AWAY_SECONDS_MIN
        except SupersededWorker as superseded:
            log.warning("%s: it starts afresh", superseded)
            self._lease.lose()
            self._held.start_afresh()
        except (Unavailable, OutcomeUnknown) as away:
            log.warning("%s (trying again)", away)
            self._wait_for_the_database()
        return self._hand_out()

    def seconds_to_wait(self) -> float:
        """How long there is nothing to do, unless a message comes, or `pending` becomes readable."""
        away = self._away_until - self._monotonic()
        if away > 0:
            return away
        if self._held.busy or (self._held.has_starts and self._room_for_starts):
            return 0.0
        wait = min(max(0.0, self._poll_at - self._monotonic()), self._lease.seconds_to_wait)
        if self._held.timers.next_at is not None:
            wait = min(wait, max(0.0, (self._held.timers.next_at - self._clock()).total_seconds()))
        return wait

    @property
    def pending(self) -> int | None:
        """The file descriptor that becomes readable when the log answers; None if no answer is awaited."""
        return self._held.pipeline.pending

    def give_up(self) -> None:
        """Stop trying to append to a database that does not answer; from another thread, when the worker closes."""
        self._held.pipeline.giving_up = True

    def finish(self, *, record: bool = True) -> None:
        """Record the outcomes there are, and give everything back."""
        self._held.draining = True
        self._held.draft_afresh()
        try:
            try:
                rounds = 2 * len(self._held.executions) + 2 if record else 0
                for _ in range(rounds):
                    if self._held.idle:
                        break
                    self._held.settle()
                    self._commit()
            finally:
                self._held.pipeline.abandon()
            self._lease.retire()
        except (Unavailable, OutcomeUnknown, SupersededWorker) as error:
            log.warning("%s: the next worker records as unknown what is not recorded", error)

    # What happened

    def _take(self, message: EngineMessage) -> None:
        match message:
            case AttemptEnded():
                message.execution.outcomes.append((message.run, message.outcome))
                self._held.wake(message.execution.saga_id)
            case StartSaga():
                self._held.starts.append(message)
            case AwaitOutcome(saga_id):
                self._watches.add(message)
                self._poll_at = self._poll_at if saga_id in self._held.executions else 0.0
            case AwaitIdle():
                self._idle.append(message)
                self._poll_at = 0.0
            case Drain():
                self._held.draining = True
                self._held.draft_afresh()
                self._drains.append(message)

    @property
    def _room(self) -> int:
        """How many more sagas it may hold, by count and by what they may weigh."""
        return self._room_within(self._concurrency, HELD_BYTES_MAX)

    @property
    def _room_for_starts(self) -> int:
        """A tenth stays for sagas that others started, lest a busy program here keeps them waiting for ever."""
        sagas = self._concurrency - self._concurrency // 10
        return self._room_within(sagas, HELD_BYTES_MAX - HELD_BYTES_MAX // 10)

    def _room_within(self, sagas: int, size_bytes: int) -> int:
        if self._held.draining:
            return 0
        fitting = (size_bytes - self._held.size_bytes) // STATE_BYTES_MAX
        return max(0, min(sagas - len(self._held.executions), fitting))

    def _poll(self) -> None:
        """Look for sagas to take, at those held here to which someone else wrote, and at those watched."""
        if self._monotonic() < self._poll_at:
            return
        self._poll_at = self._monotonic() + POLL_SECONDS
        definitions = self._definitions_to_claim
        asked = self._in_doubt or self._held.disputed or (self._idle and not self._busy)
        asked = asked or self._watches.any_beside(self._held.executions)
        if not asked and not self._log.has_work(self._lease.epoch, definitions=definitions):
            return
        self._held.settle()  # what is read must not be older than what is held
        if self._in_doubt:
            self._ask_again()
        self._look_at_nudged()
        self._ask_whose()
        claims: list[Claim] = []
        self._held.starts.extend(self._held.requests.take(self._lease.epoch, self._room_for_starts))
        limit = min(self._room, BATCH_SAGAS_MAX)
        if limit > 0:
            claims = self._log.claim(self._lease.epoch, definitions=definitions, limit=limit)
            self._adopt(claims)
            if len(claims) == limit:
                self._poll_at = 0.0
        self._outbox.replies.extend(self._watches.look(self._held.executions, self._read))
        if self._idle and not (claims or self._busy):
            # What somebody else had locked just then was passed over, and is due all the same.
            passed_over = limit > 0 and self._log.has_work(self._lease.epoch, definitions=definitions)
            if not passed_over:
                self._outbox.replies.extend(partial(idle.reply.give, None) for idle in self._idle)
                self._idle.clear()

    @property
    def _busy(self) -> bool:
        """Whether it holds anything, or left something to an older worker that may come back."""
        return bool(self._held.executions or self._held.starts or self._held.rivals.first)

    @property
    def _definitions_to_claim(self) -> Sequence[tuple[str, int]]:
        """All of them, but while an older worker goes first those without local steps."""
        return self._calling_out if self._held.rivals.first else self._definitions

    def _look_at_nudged(self) -> None:
        """Decide again on those that someone else wrote to; one that was left alone may be readable now."""
        notified = self._log.notified(self._lease.epoch)
        self._held.refresh([self._held.executions[id_] for id_ in notified if id_ in self._held.executions])
        others = {saga_id for saga_id in notified if saga_id not in self._held.executions}
        if others:
            self._adopt(self._claimed(others.__contains__))

    def _ask_whose(self) -> None:
        """Of the sagas that others drive, too, as when rows of the due work were lost: keep this worker's own.

        They are taken as if claimed just now, attempts of the others included, of which nobody may ever hear again.
        """
        disputed = self._held.let_go_of_disputed()
        if disputed:
            self._adopt(self._claimed(disputed.__contains__))

    def _ask_again(self) -> None:
        """After the database was away: answers may have been lost, of claims and of nudges."""
        self._adopt(self._claimed(lambda saga_id: not self._held.has_begun(saga_id)))
        self._held.refresh(list(self._held.executions.values()))
        self._held.requests.ask_again(self._lease.epoch)
        self._in_doubt = False

    def _claimed(self, wanted: Callable[[str], bool]) -> list[Claim]:
        """What the database says this worker holds, of the sagas that are wanted."""
        mine = (row for row in self._log.entries() if row.worker_id == self._lease.epoch.worker_id)
        return [Claim(row.saga_id, row.definition, row.definition_version) for row in mine if wanted(row.saga_id)]

    def _adopt(self, claims: Sequence[Claim]) -> None:
        """Rebuild the claimed sagas from their facts, in one query."""
        histories = self._read([(claim.saga_id, 0) for claim in claims])
        for claim in claims:
            history = histories.readable.get(claim.saga_id)
            if history is None:
                why = histories.unreadable.get(claim.saga_id, "it is due and has no history: run `sagaledger verify`")
                log.error("saga %s is left alone: %s", claim.saga_id, why)
                continue
            definition = self._context.app.definition(claim.definition, claim.definition_version)
            state = rebuild(claim.saga_id, (recorded.event for recorded in history))
            previous = next((recorded.meta.worker for recorded in reversed(history) if recorded.meta.worker), None)
            self._held.add(HeldSaga(claim.saga_id, definition, state, history[-1].position, previous))

    def _read(self, after: Sequence[tuple[str, int]]) -> StreamReads:
        return read_streams(self._log, self._context.codec, after)

    # What follows

    def _commit(self) -> None:
        now = self._clock()
        for saga_id in self._held.timers.due(now):
            self._held.wake(saga_id)
        if self._held.starts:
            self._held.admit(self._room_for_starts)
        self._held.commit(now)
        self._held.requests.settle()

    def _hand_out(self) -> TurnResult:
        """What there is to be done outside; no attempt, if the lease could end before it begins."""
        turn = TurnResult([], self._outbox.replies.copy())
        self._outbox.replies.clear()
        if self._outbox.dispatch and self._lease.safe:
            turn.dispatch.extend(self._outbox.dispatch)
            self._outbox.dispatch.clear()
        if self._drains and not self._held.pipeline.under_way:
            turn.replies.extend(partial(drain.reply.give, None) for drain in self._drains)
            self._drains.clear()
        return turn

    def _wait_for_the_database(self) -> None:
        self._held.forget()
        self._in_doubt = True
        self._poll_at = 0.0
        self._away_until = self._monotonic() + self._away_seconds
        self._away_seconds = min(2 * self._away_seconds, AWAY_SECONDS_MAX)
