"""Group commit: one append for the transitions of all sagas that are ready.

While the log writes one batch, the next one is drafted from the sagas that become ready meanwhile. It never holds a
second transition of one saga, and it rests on what participants' streams will be once the first batch is written; what
rests on a transition that conflicts is decided again.
"""

from __future__ import annotations

from datetime import datetime

from ...ledger.context import LedgerContext
from ...ledger.observing import kind_of
from ...ledger.stream_cache import StreamCache
from ..coordination.contention import Contention
from ..coordination.lease import Lease
from ..coordination.put_backs import PutBacks
from ..held_sagas import HeldSaga, HeldSagas
from ..messages import TurnResult
from ..pulse import Pulse
from ..start_queue import StartQueue
from ..sub_sagas import SubSagas
from ..waiters import Waiters
from .drafting import Drafter
from .observing import tell_of_batch
from .pipeline import Pipeline
from .redrafting import Redrafting
from .refreshing import Refresher
from .settling import Settler


class GroupCommit:
    """Drafts, sends and settles transitions; what follows from them goes to `result`."""

    def __init__(
        self,
        context: LedgerContext,
        lease: Lease,
        held: HeldSagas,
        starts: StartQueue,
        sub_sagas: SubSagas,
        waiters: Waiters,
        contention: Contention,
        put_backs: PutBacks,
        result: TurnResult,
        pulse: Pulse,
    ) -> None:
        self._log = context.backend
        self._lease = lease
        self._held = held
        self._starts = starts
        self._sub_sagas = sub_sagas
        self._contention = contention
        self._put_backs = put_backs
        self._result = result
        cache = StreamCache(context.app, context.backend, context.codec, between_reads=lease.keep)
        pipeline = Pipeline(context.backend, lease, context.clock, pulse, context.outages.database)
        redrafting = Redrafting(pipeline, cache, held)
        settler = Settler(held, starts, sub_sagas, waiters, cache, redrafting, contention, put_backs, result)
        self._stream_cache = cache
        self._pipeline = pipeline
        self._redrafting = redrafting
        self._settler = settler
        observed = context.observer is not None
        self._drafter = Drafter(lease, held, starts, sub_sagas, cache, pipeline, settler, is_observed=observed)
        self._observer = context.observer
        self._backend = context.backend
        self.refresher = Refresher(context, lease, held, starts, redrafting, settler)

    # Committing

    def commit(self, now: datetime) -> None:
        """Draft the sagas that are ready, settle the batch that was sent before, and send the one that is drafted.

        Returns at once while the log writes and sagas held here may still join the next batch; otherwise it waits for
        the log. Raises `SupersededWorker` and `Unavailable`.
        """
        self._drafter.draft(now)
        if self._may_grow:
            return
        stale = self._settle_sent()
        self._sub_sagas.ask_to_turn_back()  # it appends: not while an append of this worker is under way
        self._put_backs.flush()
        self._pipeline.send()
        self.refresher.refresh(stale)
        self._stream_cache.trim()
        if self._contention.give_way():
            self._hand_back()
        if not (self._result.dispatch or self._result.replies or self._may_grow):
            self.settle()

    def settle(self) -> None:
        """Wait for the batch that was sent, and settle it. Raises `SupersededWorker` and `Unavailable`."""
        self.refresher.refresh(self._settle_sent())

    # What is under way

    @property
    def idle(self) -> bool:
        """Whether there is nothing to draft, and nothing to settle."""
        return not (self._held.ready or self._pipeline.under_way)

    @property
    def has_work(self) -> bool:
        """Whether there is something to do before the log answers, or anything else happens."""
        return not self.idle if self.pending is None else self._drafter.has_work

    @property
    def under_way(self) -> bool:
        """Whether a transition is drafted or sent that is not settled."""
        return self._pipeline.under_way

    @property
    def pending(self) -> int | None:
        """The file descriptor that becomes readable when the log answers; None if no answer is awaited."""
        return self._pipeline.pending

    # Ending, and beginning again

    def drain(self) -> None:
        """Begin nothing new from here on."""
        self._held.draining = True
        self._redrafting.withdraw_all()

    def write_snapshots(self) -> None:
        """Write the snapshots that are due. Raises `Unavailable`."""
        self._stream_cache.snapshot()

    def give_up(self) -> None:
        """Stop trying to append to a database that does not answer; safe to call from another thread."""
        self._pipeline.giving_up = True

    def abandon(self) -> None:
        """Wait no longer for the batch that was sent: it may be written or not."""
        self._pipeline.abandon()

    def forget_reads(self) -> None:
        """Read participants' streams again: it is in doubt whether what was drafted is written."""
        self._redrafting.withdraw_all()
        self._stream_cache.evict_all()

    def start_afresh(self) -> None:
        """Hold nothing any longer, after the lease was lost: others go on with it. Unconfirmed starts wait again."""
        self._starts.start_afresh()
        self._held.clear()
        self._result.dispatch.clear()
        self._pipeline.clear()
        self._sub_sagas.forget()
        self._put_backs.clear()
        self.forget_reads()

    @property
    def _may_grow(self) -> bool:
        return self._pipeline.may_grow(len(self._held))

    def _settle_sent(self) -> list[HeldSaga]:
        """Wait for the batch that was sent, and settle it; returns the sagas to which others wrote before."""
        answered = self._pipeline.receive()
        self._drafter.retry_undecided()
        if not answered:
            return []
        if self._observer is not None:
            tell_of_batch(self._observer, answered, self._pipeline.seconds, kind_of(self._backend))
        unwritten = self._settler.settle_batch(answered)
        if unwritten:
            self._redrafting.withdraw_with(unwritten)
        self._stream_cache.snapshot()
        return [transition.saga for transition in unwritten]

    def _hand_back(self) -> None:
        """Leave sagas with local steps to an older worker, those of which nothing is under way here.

        They are released here first: if the database does not learn of it, it still names this worker as their holder,
        and this worker asks again. Raises `Unavailable`.
        """
        handed = [
            saga.saga_id
            for saga in self._pipeline.free_of(self._held.ready)
            if saga.definition.has_local_steps
            and saga.saga_start is None
            and not (saga.outcomes or saga.state.in_flight)
        ]
        for saga_id in handed:
            self._held.release(saga_id)
        self._log.release(self._lease.token, handed)
