"""The state of a choreographed saga: which service it waits for, since when, and whether it went as declared."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import datetime
from typing import NamedTuple, Self

from ...domain.choreography.choreography import Choreography
from ...domain.choreography.dead_letter import DeliveryFailed, DeliveryReplayed, DeliverySettled
from ...domain.choreography.derived_saga import ConformanceViolation, awaited, stalls_at
from ...domain.event import Event
from ...domain.saga.events import CancelRequested
from ...domain.saga.state import SagaState


class ParkedDelivery(NamedTuple):
    """An event that a service could not handle, and that waits for a person."""

    service: str
    position: int


class ProcessReport(NamedTuple):
    """The state of a choreographed saga."""

    waits_for: str | None
    """A step, or the event that ends the saga; None if it has ended."""
    service: str | None
    """The service that owes it."""
    silent_since: datetime | None
    stalls_at: datetime | None
    """From when on the silence means that the saga is stalled."""
    is_stalled: bool
    findings: tuple[ConformanceViolation, ...]
    parked: tuple[ParkedDelivery, ...]
    can_be_cancelled: bool

    @classmethod
    def of(cls, choreography: Choreography, state: SagaState, events: Sequence[Event], now: datetime) -> Self:
        """Report on a saga from its state, and from all events of its process."""
        stalls = stalls_at(choreography, state)
        waits_for, service = awaited(choreography, state) or (None, None)
        aborting = choreography.abort_event is not None and any(
            isinstance(event, choreography.abort_event | CancelRequested) for event in events
        )
        return cls(
            waits_for,
            service,
            state.updated_at,
            stalls,
            stalls is not None and stalls < now,
            tuple(event for event in events if isinstance(event, ConformanceViolation)),
            tuple(_parked(events)),
            choreography.cancel is not None and state.end is None and not state.past_pivot and not aborting,
        )


def _parked(events: Iterable[Event]) -> Iterable[ParkedDelivery]:
    """Yield the deliveries that failed for good and were not replayed or settled since."""
    parked: dict[ParkedDelivery, bool] = {}
    for event in events:
        match event:
            case DeliveryFailed(service=service, position=position, retry_at=retry_at):
                parked[ParkedDelivery(service, position)] = retry_at is None
            case (
                DeliveryReplayed(service=service, position=position)
                | DeliverySettled(service=service, position=position)
            ):
                parked[ParkedDelivery(service, position)] = False
    return (delivery for delivery, is_parked in parked.items() if is_parked)
