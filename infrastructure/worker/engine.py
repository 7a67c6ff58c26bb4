"""The engine: everything that a worker does except running steps, one turn after another.

A turn takes in messages, holds the lease, looks for work, commits what follows for the sagas that are ready, and hands
out the attempts to make. The engine is synchronous and belongs to one thread. It commits as soon as it and the log are
free, so batching never delays a lone saga.
"""

from __future__ import annotations

import logging
from collections.abc import Sequence
from datetime import datetime
from functools import partial

from ..errors import NEEDS_A_PERSON, NotALedger, OutcomeUnknown, SupersededWorker, Unavailable
from ..ledger.context import LedgerContext
from ..ledger.stream_reader import read_streams
from .coordination.contention import Contention
from .coordination.lease import Lease
from .coordination.put_backs import PutBacks
from .group_commit.batch import BATCH_SAGAS_MAX
from .group_commit.group_commit import GroupCommit
from .group_commit.pipeline import ENGINE
from .held_sagas import HeldSagas
from .messages import (
    AttemptEnded,
    AttemptProgressed,
    AwaitIdle,
    AwaitOutcome,
    Drain,
    EngineMessage,
    StartSaga,
    TurnResult,
)
from .pulse import Pulse
from .saga_claims import SagaClaims
from .start_queue import StartQueue
from .sub_sagas import SubSagas
from .timers import Timers
from .waiters import Waiters

log = logging.getLogger(__name__)

POLL_SECONDS = 0.1
AWAY_SECONDS_MIN = 0.05
"""How long the engine waits before it tries a database again that was away; the wait doubles up to the maximum."""
AWAY_SECONDS_MAX = 1.0


class Engine:
    """Drives the sagas that one worker holds."""

    def __init__(self, context: LedgerContext, *, concurrency: int, lease_seconds: float) -> None:
        self._monotonic = context.clock.monotonic
        self._queue_has_own_clock = context.backend.has_own_clock
        self._wall = context.clock.now
        self._read = partial(read_streams, context.backend, context.codec)
        self._result = TurnResult([], [], [])
        """What the next turn hands out."""
        self.pulse = Pulse()
        """When it last took a turn; any thread may look."""
        self._idle: list[AwaitIdle] = []
        self._drains: list[Drain] = []
        self._poll_at = 0.0
        self._away_until = 0.0
        self._away_seconds = AWAY_SECONDS_MIN
        self._in_doubt = False
        """Whether the database was away: claims and notifications of this worker may be unknown to it."""

        self._outage = context.outages.database
        self._lease = Lease(context.backend, lease_seconds, context.clock)
        self._timers = Timers()
        self._held = HeldSagas(concurrency, self._timers)
        self._waiters = Waiters(self._result.replies)
        self._starts = StartQueue(context, self._result.replies, self._wake_parent)
        self._sub_sagas = SubSagas(context, self._starts.add_sub_saga)
        self._contention = Contention(context.backend, context.codec, self._lease, self._monotonic)
        self._put_backs = PutBacks(context.backend, self._lease)
        self._group_commit = GroupCommit(
            context,
            self._lease,
            self._held,
            self._starts,
            self._sub_sagas,
            self._waiters,
            self._contention,
            self._put_backs,
            self._result,
            self.pulse,
        )
        self._refresher = self._group_commit.refresher
        self._claims = SagaClaims(context, self._lease, self._held, self._contention, self._refresher, self._put_backs)

    def turn(self, messages: Sequence[EngineMessage]) -> TurnResult:
        """Take in messages, commit what follows, and return the attempts to make and the replies to give.

        Raises what trying again cannot help: then the worker must stop.
        """
        for message in messages:
            self._take(message)
        if self._monotonic() < self._away_until:
            self.pulse.wait(self._monotonic())
            return self._hand_out()
        try:
            self._lease.hold()
            self._look_for_work()
            self._commit()
            self._away_seconds = AWAY_SECONDS_MIN
            self.pulse.succeed(self._monotonic())
            self._outage.end(ENGINE)
        except SupersededWorker as superseded:
            extra = {"worker": superseded.worker_id}
            log.warning("%s: it takes a new lease and starts afresh", superseded, extra=extra)
            self._lease.lose()
            self._group_commit.start_afresh()
        except NEEDS_A_PERSON:
            raise
        except (Unavailable, OutcomeUnknown) as away:
            self._outage.note(ENGINE, away)
            self._wait_for_the_database()
            self.pulse.wait(self._monotonic(), away)
        return self._hand_out()

    def seconds_to_wait(self) -> float:
        """Returns how long a turn would have nothing to do, unless a message comes or `pending` becomes readable."""
        away = self._away_until - self._monotonic()
        if away > 0:
            return away
        if self._group_commit.has_work or (self._starts.can_admit and self._held.room(for_starts=True)):
            return 0.0
        wait = min(max(0.0, self._poll_at - self._monotonic()), self._lease.seconds_to_wait)
        if self._timers.next_at is not None:
            wait = min(wait, max(0.0, (self._timers.next_at - self._lease.now()).total_seconds()))
        return wait

    def now(self) -> datetime:
        """Returns the time by which schedules tick: the database's, if it has its own clock. Any thread may ask."""
        return self._lease.now() if self._queue_has_own_clock else self._wall()

    @property
    def worker_id(self) -> str:
        """The id of the worker under its present lease."""
        return self._lease.token.worker_id

    @property
    def pending(self) -> int | None:
        """The file descriptor that becomes readable when the log answers; None if no answer is awaited."""
        return self._group_commit.pending

    @property
    def sagas_held(self) -> int:
        """How many sagas it holds; any thread may ask."""
        return len(self._held)

    @property
    def lease(self) -> Lease:
        """Its lease; any thread may look at it."""
        return self._lease

    def give_up(self) -> None:
        """Stop trying to append to a database that does not answer; safe to call from another thread."""
        self._group_commit.give_up()

    def finish(self, *, record: bool = True) -> None:
        """Record the outcomes there are, and release everything, whatever fails."""
        try:
            try:
                self._group_commit.drain()
                rounds = 2 * len(self._held) + 2 if record else 0
                for _ in range(rounds):
                    if self._group_commit.idle:
                        break
                    self._group_commit.settle()
                    self._commit()
                self._group_commit.write_snapshots()
            finally:
                try:
                    self._group_commit.abandon()
                finally:
                    self._lease.retire()
        except (Unavailable, OutcomeUnknown, SupersededWorker, NotALedger) as error:
            extra = {"worker": self.worker_id}
            log.warning("%s: the next worker takes attempts without a recorded outcome as unknown", error, extra=extra)

    # The parts of a turn, in order

    def _take(self, message: EngineMessage) -> None:
        match message:
            case AttemptEnded(saga, attempt, outcome):
                saga.outcomes.append((attempt, outcome))
                self._held.wake(saga.saga_id)
            case AttemptProgressed(saga, attempt, progress):
                saga.reports = {**(saga.reports or {}), attempt: progress}
                self._held.wake(saga.saga_id)
            case StartSaga():
                self._starts.add(message)
            case AwaitOutcome(saga_id):
                self._waiters.add(message)
                if saga_id not in self._held:
                    self._poll_at = 0.0
            case AwaitIdle():
                self._idle.append(message)
                self._poll_at = 0.0
            case Drain():
                self._group_commit.drain()
                self._drains.append(message)

    def _look_for_work(self) -> None:
        """Claim sagas, refresh those to which others wrote, and read on in those that callers wait for."""
        if self._monotonic() < self._poll_at:
            return
        self._poll_at = self._monotonic() + POLL_SECONDS
        if not (self._must_look or self._claims.has_work()):
            return
        self._group_commit.settle()  # what is read must not be older than what is held
        if self._in_doubt:
            self._claims.recover()
            self._starts.release_requests(self._lease.token)
            self._in_doubt = False
        self._claims.refresh_notified()
        self._claims.resolve_disputes()
        self._starts.take_requests(self._lease.token, self._held.room(for_starts=True))
        limit = min(self._held.room(), BATCH_SAGAS_MAX)
        claimed = self._claims.claim(limit) if limit > 0 else 0
        if 0 < limit == claimed:
            self._poll_at = 0.0  # there may be more
        self._waiters.read_elsewhere(self._held, self._read)
        # A claim passes over sagas that another transaction has locked; those are due as well.
        if self._idle and not (claimed or self._busy or (limit > 0 and self._claims.has_work())):
            self._result.replies.extend(partial(idle.reply.answer, None) for idle in self._idle)
            self._idle.clear()

    @property
    def _must_look(self) -> bool:
        """Whether there is a reason to read the database that the work queue does not know."""
        if self._in_doubt or self._held.any_disputed or self._waiters.any_elsewhere(self._held):
            return True
        return bool(self._idle) and not self._busy

    @property
    def _busy(self) -> bool:
        """Whether it holds anything, or leaves sagas to an older worker that may hand them back."""
        return bool(self._held or self._starts or self._contention.gives_way)

    def _commit(self) -> None:
        now = self._lease.now()
        for saga_id in self._timers.due(now):
            self._held.wake(saga_id)
        for saga in self._starts.admit(self._held.room(for_starts=True), self._held):
            self._refresher.adopt(saga)
        self._group_commit.commit(now)
        self._starts.settle_requests()

    def _hand_out(self) -> TurnResult:
        """Returns what the host has to do; no attempt, if the lease could end before it begins."""
        turn = TurnResult([], self._result.replies.copy(), self._result.unwanted.copy())
        self._result.replies.clear()
        self._result.unwanted.clear()
        if self._result.dispatch and self._lease.is_safe:
            turn.dispatch.extend(self._result.dispatch)
            self._result.dispatch.clear()
        if self._drains and not self._group_commit.under_way:
            turn.replies.extend(partial(drain.reply.answer, None) for drain in self._drains)
            self._drains.clear()
        return turn

    # Consequences

    def _wake_parent(self, saga_id: str, error: Exception | None) -> None:
        """Tell the parent of a sub-saga what became of its start."""
        parent = self._sub_sagas.started(saga_id, error)
        if parent is not None:
            self._held.wake(parent.saga_id)

    def _wait_for_the_database(self) -> None:
        self._group_commit.forget_reads()
        self._in_doubt = True
        self._poll_at = 0.0
        self._away_until = self._monotonic() + self._away_seconds
        self._away_seconds = min(2 * self._away_seconds, AWAY_SECONDS_MAX)
