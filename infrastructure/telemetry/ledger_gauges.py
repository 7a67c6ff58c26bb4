"""Gauges that the database answers: how many sagas are open, who needs a person, how far views and services are.

Each question reads an index and counts up to a limit. The answers are kept for some seconds, so that it does not matter
how often they are scraped.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from threading import Lock
from time import monotonic
from typing import Any, Final, NamedTuple

from sqlalchemy import func, select

from ...domain.errors import SagaledgerError
from ...domain.saga.item_names import split_item_name
from ...domain.saga.state import Status
from ...projections.saga.interventions import OPEN, interventions
from ...projections.saga.sagas import ENDED, sagas
from ..choreography.delivery import consumer_of
from ..errors import Unavailable
from ..ledger.context import LedgerContext
from ..ledger.freshness import list_workers
from ..read_models.checkpoints import ABSENT, STOPPED
from ..read_models.readable import readable
from .catalogue import (
    DEAD_LETTERS,
    DUE_OLDEST,
    DUE_OVERDUE,
    GAUGE_ERRORS,
    INTERVENTION_OLDEST,
    INTERVENTIONS_OPEN,
    LOG_HEAD,
    REQUESTS_OPEN,
    REQUESTS_REFUSED,
    SAGAS_OPEN,
    SERVICE_LAG,
    VIEW_LAG_EVENTS,
    VIEW_LAG_SECONDS,
    VIEW_STOPPED,
    WORKERS,
    Metric,
)

CACHE_SECONDS: Final = 5.0
ROWS_MAX: Final = 100_000
"""The most rows of a view that are counted; a gauge that reaches this says no more than that."""
REQUESTS_MAX: Final = 1_000
_OPEN: Final = tuple(sorted(status.value for status in Status if status.value not in ENDED))
_SETTLED: Final = "settled"


class Reading(NamedTuple):
    """The value of one gauge."""

    metric: Metric
    labels: tuple[str, ...]
    value: float


class LedgerGauges:
    """The gauges of one ledger, from any thread; the database is asked by one of them at a time."""

    def __init__(self, context: LedgerContext, clock: Callable[[], float] = monotonic) -> None:
        self._context = context
        self._clock = clock
        self._lock = Lock()
        self._read_at: float | None = None
        self._readings: list[Reading] = []

    def readings(self) -> list[Reading]:
        """Return the gauges as they were at most some seconds ago. Never raises for a database that is away."""
        with self._lock:
            if self._read_at is None or self._clock() - self._read_at >= CACHE_SECONDS:
                self._readings = self._read()
                self._read_at = self._clock()
            return self._readings

    def _read(self) -> list[Reading]:
        found: list[Reading] = []
        failed = False
        for question in (self._queue, self._sagas, self._interventions, self._views, self._services, self._requests):
            try:
                found += question()
            except Unavailable:  # each further question would wait as long again
                failed = True
                break
            except SagaledgerError:  # such as a view that must be rebuilt
                failed = True
        return [*found, Reading(GAUGE_ERRORS, (), float(failed))]

    def _queue(self) -> Iterator[Reading]:
        yield Reading(LOG_HEAD, (), self._context.backend.head().position)
        for due in self._context.backend.overdue():
            yield Reading(DUE_OVERDUE, (due.definition,), due.sagas)
            yield Reading(DUE_OLDEST, (due.definition,), due.oldest_seconds)
        now = datetime.now(UTC)
        held = Counter("held" if worker.lease_until > now else "run_out" for worker in list_workers(self._context))
        for lease in ("held", "run_out"):
            yield Reading(WORKERS, (lease,), held[lease])

    def _sagas(self) -> Iterator[Reading]:
        columns = sagas.table.c
        some = select(columns.definition, columns.status).where(columns.status.in_(_OPEN)).limit(ROWS_MAX).subquery()
        counted = select(some.c.definition, some.c.status, func.count()).group_by(some.c.definition, some.c.status)
        with self._context.queries.snapshot(sagas) as (connection, _), readable("view sagas"):
            rows = connection.execute(counted).all()
        for definition, status, count in rows:
            yield Reading(SAGAS_OPEN, (definition, status), count)

    def _interventions(self) -> Iterator[Reading]:
        needed, saga = interventions.table.c, sagas.table.c
        some = (
            select(saga.definition, needed.step, needed.required_at)
            .join_from(interventions.table, sagas.table, needed.saga_id == saga.saga_id)
            .where(needed.status == OPEN)
            .limit(ROWS_MAX)
            .subquery()
        )
        counted = select(some.c.definition, some.c.step, func.count(), func.min(some.c.required_at)).group_by(
            some.c.definition, some.c.step
        )
        snapshot = self._context.queries.snapshot(interventions, joined=(sagas.name,))
        with snapshot as (connection, _), readable("view interventions"):
            rows = connection.execute(counted).all()
        open_: Counter[tuple[str, str]] = Counter()
        oldest: dict[tuple[str, str], datetime] = {}
        for definition, step, count, since in rows:
            labels = definition, _label(step)
            open_[labels] += count
            oldest[labels] = min(oldest.get(labels, since), since)
        now = datetime.now(UTC)
        for labels, count in open_.items():
            yield Reading(INTERVENTIONS_OPEN, labels, count)
            yield Reading(INTERVENTION_OLDEST, labels, max((now - oldest[labels]).total_seconds(), 0.0))

    def _views(self) -> Iterator[Reading]:
        head = self._context.backend.head()
        for checkpoint in self._context.queries.seen():
            behind = max(head.position - checkpoint.position, 0)
            seconds = 0.0
            if behind and checkpoint.status != ABSENT:
                rows = self._context.backend.read(checkpoint.position, limit=1)
                seconds = (datetime.now(UTC) - rows[0].recorded_at).total_seconds() if rows else 0.0
            yield Reading(VIEW_LAG_EVENTS, (checkpoint.view,), behind)
            yield Reading(VIEW_LAG_SECONDS, (checkpoint.view,), max(seconds, 0.0))
            yield Reading(VIEW_STOPPED, (checkpoint.view,), float(checkpoint.status == STOPPED))

    def _services(self) -> Iterator[Reading]:
        context = self._context
        if not context.app.services:
            return
        head = context.backend.head().position
        for name in context.app.services:
            lag = head - context.backend.consumer_position(consumer_of(name))
            yield Reading(SERVICE_LAG, (name,), max(lag, 0))
        for service, status, count in self._dead_letters():
            yield Reading(DEAD_LETTERS, (service, status), count)

    def _dead_letters(self) -> Iterator[Any]:
        declared = {projection.name: projection for projection in self._context.app.projections}
        view = declared.get(DEAD_LETTERS.name)
        if view is None:
            return
        columns = view.table.c
        some = select(columns.service, columns.status).where(columns.status != _SETTLED).limit(ROWS_MAX).subquery()
        counted = select(some.c.service, some.c.status, func.count()).group_by(some.c.service, some.c.status)
        with self._context.queries.snapshot(view) as (connection, _), readable(f"view {view.name}"):
            yield from connection.execute(counted).all()

    def _requests(self) -> Iterator[Reading]:
        requests = self._context.backend.start_requests
        if requests is None:
            return
        listed = requests.listed(limit=REQUESTS_MAX)
        refused = sum(request.refused_at is not None for request in listed)
        yield Reading(REQUESTS_OPEN, (), len(listed) - refused)
        yield Reading(REQUESTS_REFUSED, (), refused)


def _label(step: str) -> str:
    item = split_item_name(step)
    return step if item is None else item[0]
