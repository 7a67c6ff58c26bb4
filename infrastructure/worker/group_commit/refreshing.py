"""Refreshing: taking in what other processes wrote to sagas that are held here."""

from __future__ import annotations

from collections.abc import Sequence

from ...ledger.context import LedgerContext
from ..coordination.lease import Lease
from ..held_sagas import HeldSaga, HeldSagas
from ..stream_reader import read_streams
from .redrafting import Redrafting
from .settling import Settler


class Refresher:
    """Reads the sagas held here on, and has them decided again."""

    def __init__(
        self, context: LedgerContext, lease: Lease, held: HeldSagas, redrafting: Redrafting, settler: Settler
    ) -> None:
        self._context = context
        self._lease = lease
        self._held = held
        self._redrafting = redrafting
        self._settler = settler

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
