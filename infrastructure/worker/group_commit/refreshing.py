"""Refreshing: making what is held here agree with what the log and the work queue say."""

from __future__ import annotations

from collections.abc import Sequence

from ...ledger.context import LedgerContext
from ...ledger.stream_reader import read_streams
from ..coordination.lease import Lease
from ..held_sagas import HeldSaga, HeldSagas
from ..start_queue import StartQueue
from .redrafting import Redrafting
from .settling import Settler


class Refresher:
    """Adopts sagas, folds what others wrote to them, and releases disputed ones; their drafts are withdrawn."""

    def __init__(
        self,
        context: LedgerContext,
        lease: Lease,
        held: HeldSagas,
        starts: StartQueue,
        redrafting: Redrafting,
        settler: Settler,
    ) -> None:
        self._context = context
        self._lease = lease
        self._held = held
        self._starts = starts
        self._redrafting = redrafting
        self._settler = settler

    def adopt(self, saga: HeldSaga) -> None:
        """Hold a saga, and decide what it does next; a start that waits for the same saga came too late."""
        start = self._starts.starting(saga.saga_id)
        if start is not None and saga.saga_start is None:
            self._starts.answer_existing(start)
        self._redrafting.withdraw([saga.saga_id])
        self._held.adopt(saga)

    def refresh(self, sagas: Sequence[HeldSaga]) -> None:
        """Fold what others wrote into these sagas, those that are still held. Raises `Unavailable`.

        A saga to which another worker wrote is disputed from then on.
        """
        sagas = [saga for saga in sagas if saga.saga_id in self._held]
        if not sagas:
            return
        self._redrafting.withdraw([saga.saga_id for saga in sagas])
        begun = [saga for saga in sagas if saga.saga_start is None]
        after = [(saga.saga_id, saga.state.version) for saga in begun]
        reads = read_streams(self._context.backend, self._context.codec, after)
        for saga in begun:
            history = reads.readable.get(saga.saga_id, ())
            saga.fold(history)
            if any(recorded.meta.worker not in (None, self._lease.token.worker_id) for recorded in history):
                self._held.dispute(saga.saga_id)
        for saga in sagas:
            unreadable = reads.unreadable.get(saga.saga_id)
            if unreadable is None:
                self._held.wake(saga.saga_id)
            else:
                self._settler.leave_alone(saga, unreadable)

    def release_disputed(self) -> set[str]:
        """Hold no saga any longer that another worker drives as well; returns their ids."""
        disputed = self._held.take_disputed()
        self._redrafting.withdraw(disputed)
        for saga_id in disputed:
            self._held.release(saga_id)
        return disputed
