"""The status of services: how far each has handled the log, and how many of its events wait."""

from __future__ import annotations

from typing import NamedTuple

from ...domain.choreography.dead_letter import DeadLetterStatus
from ...domain.choreography.service import Service
from ..ledger.context import HasContext
from .dead_letter_queue import DeadLetterQueue
from .delivery import consumer_of


class ServiceStatus(NamedTuple):
    """How far one service is."""

    service: Service
    position: int
    """It has handled every event up to there."""
    head_position: int
    retrying: int
    deferred: int
    parked: int

    @property
    def lag_events(self) -> int:
        """How many events of the log it has not looked at."""
        return max(self.head_position - self.position, 0)


def service_statuses(ledger: HasContext) -> list[ServiceStatus]:
    """Return the status of every service of the app."""
    context = ledger.context
    head = context.backend.head().position
    statuses = []
    for service in context.app.services.values():
        waiting = DeadLetterQueue(service.name, context.backend, context.codec)
        waiting.read()
        counts = waiting.counts()
        position = context.backend.consumer_position(consumer_of(service.name))
        kinds = (DeadLetterStatus.RETRYING, DeadLetterStatus.DEFERRED, DeadLetterStatus.PARKED)
        statuses.append(ServiceStatus(service, position, head, *(counts[kind] for kind in kinds)))
    return statuses
