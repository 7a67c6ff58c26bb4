"""Claiming sagas: what the work queue says that this worker holds, and rebuilding those sagas from their events."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from ...domain.saga.evolve import rebuild
from ..event_store.work_queue import Claim
from ..ledger.context import LedgerContext
from ..ledger.stream_reader import read_streams
from ..runtime.observer import passed_on
from .coordination.contention import Contention
from .coordination.lease import Lease
from .coordination.put_backs import PutBacks
from .group_commit.refreshing import Refresher
from .held_sagas import HeldSaga, HeldSagas
from .saga_log import log_claim


class SagaClaims:
    """Takes sagas from the work queue, and asks it again where this worker cannot know what it holds.

    Every method raises `Unavailable`.
    """

    def __init__(
        self,
        context: LedgerContext,
        lease: Lease,
        held: HeldSagas,
        contention: Contention,
        refresher: Refresher,
        put_backs: PutBacks,
    ) -> None:
        self._context = context
        self._log = context.backend
        self._lease = lease
        self._held = held
        self._contention = contention
        self._refresher = refresher
        self._put_backs = put_backs
        self._all = [(d.name, d.version) for d in context.app.definitions]
        self._without_local_steps = [(d.name, d.version) for d in context.app.definitions if not d.has_local_steps]

    def has_work(self) -> bool:
        """Returns whether the work queue has something for this worker; it only looks, and writes nothing."""
        return self._log.has_work(self._lease.token, definitions=self._definitions)

    def claim(self, limit: int) -> int:
        """Claim and hold up to `limit` due sagas; returns how many were claimed."""
        claims = self._log.claim(self._lease.token, definitions=self._definitions, limit=limit)
        self._adopt(claims)
        return len(claims)

    def refresh_notified(self) -> None:
        """Decide again on the sagas to which others wrote."""
        notified = self._log.notified(self._lease.token)
        self._refresher.refresh([saga for saga_id in notified if (saga := self._held.get(saga_id)) is not None])
        elsewhere = {saga_id for saga_id in notified if saga_id not in self._held}
        if elsewhere:
            self._adopt(self._holdings(elsewhere.__contains__))

    def resolve_disputes(self) -> None:
        """Adopt the disputed sagas that the work queue says this worker holds.

        If two workers drive one saga, the work queue decides the owner. The sagas are adopted as if
        just claimed. Attempts of the other worker count as in flight: their outcomes may never be recorded.
        """
        disputed = self._refresher.release_disputed()
        if disputed:
            self._adopt(self._holdings(disputed.__contains__))

    def recover(self) -> None:
        """Adopt and refresh everything that this worker holds, after the database was away.

        The replies to claims and notifications may have been lost.
        """
        self._adopt(self._holdings(self._has_not_begun))
        self._refresher.refresh(list(self._held))

    @property
    def _definitions(self) -> Sequence[tuple[str, int]]:
        """What to claim: while this worker gives way to an older one, no sagas with local steps."""
        return self._without_local_steps if self._contention.gives_way else self._all

    def _has_not_begun(self, saga_id: str) -> bool:
        """Whether a saga is not held, or is held only to be started."""
        saga = self._held.get(saga_id)
        return saga is None or saga.saga_start is not None

    def _holdings(self, wanted: Callable[[str], bool]) -> list[Claim]:
        """Returns what the work queue says that this worker holds, of the sagas that are wanted."""
        mine = (row for row in self._log.entries() if row.worker_id == self._lease.token.worker_id)
        return [Claim(row.saga_id, row.definition, row.definition_version) for row in mine if wanted(row.saga_id)]

    def _adopt(self, claims: Sequence[Claim]) -> None:
        """Rebuild claimed sagas from their events, in one query, and hold them; put back those that cannot be read."""
        reads = read_streams(self._log, self._context.codec, [(claim.saga_id, 0) for claim in claims])
        for claim in claims:
            history = reads.readable.get(claim.saga_id)
            if history is None:
                why = reads.unreadable.get(claim.saga_id, "it is due and has no events: run `sagaledger verify`")
                self._put_backs.add(*claim, why)
                continue
            self._put_backs.readable(claim.saga_id)
            definition = self._context.app.definition(claim.definition, claim.definition_version)
            state = rebuild(claim.saga_id, (recorded.event for recorded in history))
            previous = next((recorded.meta.worker for recorded in reversed(history) if recorded.meta.worker), None)
            saga = HeldSaga(claim.saga_id, definition, state, history[-1].position, previous)
            observer = self._context.observer
            if observer is None:
                saga.trace = passed_on(history[0].meta.traceparent)
            else:
                saga.trace = observer.claimed(claim.saga_id, history)
            log_claim(saga, self._lease.token.worker_id)
            self._refresher.adopt(saga)
