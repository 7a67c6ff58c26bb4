"""Drafting: the next transitions of the sagas that are ready, into the batch that is sent next."""

from __future__ import annotations

from datetime import datetime
from functools import partial
from itertools import islice

from msgspec.structs import replace

from ....domain.user_code import contained, is_interruption
from ...ledger.stream_cache import NotDecidableYet, StreamCache, StreamsUnsettled
from ..coordination.lease import Lease
from ..held_sagas import HeldSaga, HeldSagas
from ..start_queue import StartQueue
from ..sub_sagas import SubSagas
from .batch import TransitionBatch
from .pipeline import Pipeline
from .settling import Settler
from .transition import Transition


class Drafter:
    """Decides transitions, as many as the batch has room for."""

    def __init__(
        self,
        lease: Lease,
        held: HeldSagas,
        starts: StartQueue,
        sub_sagas: SubSagas,
        stream_cache: StreamCache,
        pipeline: Pipeline,
        settler: Settler,
        *,
        is_observed: bool,
    ) -> None:
        self._lease = lease
        self._held = held
        self._starts = starts
        self._sub_sagas = sub_sagas
        self._stream_cache = stream_cache
        self._pipeline = pipeline
        self._settler = settler
        self._is_observed = is_observed
        self._undecided: set[str] = set()
        """Sagas that cannot be decided before the log has answered what is drafted or sent."""

    def draft(self, now: datetime) -> None:
        """Draft a transition of every saga that is ready and free, as many as fit. Raises `Unavailable`."""
        batch = self._pipeline.drafted
        free = (saga for saga in self._pipeline.free_of(self._held.ready) if saga.saga_id not in self._undecided)
        sagas = list(islice(free, self._pipeline.room(len(self._held))))
        if not sagas:
            return
        self._sub_sagas.look(sagas)
        builders = [partial(self._draft, saga, now, batch) for saga in sagas]
        self._stream_cache.build(builders, unsettled=self._pipeline.stream_ids)
        batch.stream_ids |= self._stream_cache.written

    def retry_undecided(self) -> None:
        """The log has answered: decide again on the sagas that waited for it."""
        self._undecided.clear()

    @property
    def has_work(self) -> bool:
        """Whether a saga can be decided on before the log answers what was sent."""
        return any(saga.saga_id not in self._undecided for saga in self._pipeline.free_of(self._held.ready))

    def _draft(self, saga: HeldSaga, now: datetime, batch: TransitionBatch) -> None:
        """Draft one transition, unless the batch is full; a saga that cannot be decided on is let go of."""
        if batch.is_full:
            return
        try:
            transition = self._transition(saga, now).build()
        except StreamsUnsettled:
            self._undecided.add(saga.saga_id)
            raise
        except NotDecidableYet:
            raise
        except BaseException as error:
            if is_interruption(error):
                raise
            self._held.mark_decided(saga.saga_id)
            self._settler.leave_alone(saga, contained(error))
            return
        self._held.mark_decided(saga.saga_id)
        if not transition.writes:
            self._settler.settle(transition, None)
            return
        if transition.draft.overlay:
            self._stream_cache.stage(transition.draft.overlay)
        batch.add(transition)

    def _transition(self, saga: HeldSaga, now: datetime) -> Transition:
        start = None if saga.saga_start is None else self._starts.starting(saga.saga_id)
        meta = self._lease.meta
        if start is not None:
            traceparent = None if saga.trace is None else saga.trace.traceparent
            meta = replace(meta, actor=start.meta.actor, traceparent=traceparent)
        draft = self._stream_cache.draft(saga.saga_id, meta, causation_position=saga.position)
        worker_id = self._lease.token.worker_id
        draining = self._held.draining or saga.unread is not None
        transition = Transition(saga, saga.definition, saga.state, draft, worker_id, now, draining=draining)
        if self._is_observed:
            transition.recorded = []
        return transition
