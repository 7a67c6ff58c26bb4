"""What one asks of a saga without a coordinator: whom it waits for, since when, and whether it went as declared."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import datetime
from typing import Any, NamedTuple

from ....domain.choreography.choreography import Choreography
from ....domain.choreography.dead_letter import DeliveryFailed, DeliveryReplayed, DeliverySettled
from ....domain.choreography.derived_saga import ConformanceViolation, awaited, stalls_at
from ....domain.recorded_event import RecordedEvent
from ....domain.saga.events import CancelRequested
from ....domain.saga.state import SagaState
from ..options import Options
from .text import one_line
from .timestamps import json_instant, show_instant


class ParkedDelivery(NamedTuple):
    """An event that a service could not handle, and that waits for a person."""

    service: str
    position: int


class ProcessReport(NamedTuple):
    """How a choreographed saga stands."""

    step: str | None
    """What it waits for: a step, or the event that ends it; None if it has ended."""
    service: str | None
    silent_since: datetime | None
    stalls_at: datetime | None
    is_stalled: bool
    findings: tuple[ConformanceViolation, ...]
    parked: tuple[ParkedDelivery, ...]
    can_be_cancelled: bool

    @classmethod
    def of(
        cls, choreography: Choreography, state: SagaState, recorded: Sequence[RecordedEvent], now: datetime
    ) -> ProcessReport:
        """Read it from the saga's state, and from all that was recorded of it."""
        silent_from = stalls_at(choreography, state)
        events = [each.event for each in recorded]
        step, service = awaited(choreography, state) or (None, None)
        compensating = choreography.abort_event is not None and any(
            isinstance(event, choreography.abort_event | CancelRequested) for event in events
        )
        return cls(
            step,
            service,
            state.updated_at,
            silent_from,
            silent_from is not None and silent_from < now,
            tuple(event for event in events if isinstance(event, ConformanceViolation)),
            tuple(_parked(recorded)),
            choreography.cancel is not None and state.end is None and not state.past_pivot and not compensating,
        )

    def document(self) -> dict[str, Any]:
        """As JSON."""
        return {
            "waits_for": self.step,
            "service": self.service,
            "stalls_at": None if self.stalls_at is None else json_instant(self.stalls_at),
            "stalled": self.is_stalled,
            "findings": list(self.findings),
            "parked": [parked._asdict() for parked in self.parked],
        }

    def lines(self) -> Iterable[tuple[str, str]]:
        """As lines of a screen: what each is, and what it says."""
        if self.step is not None:
            yield "waits for", f"{self.step}, which service {self.service} owes"
        if self.is_stalled and self.silent_since is not None and self.stalls_at is not None:
            allowed = (self.stalls_at - self.silent_since).total_seconds()
            yield (
                "STALLED",
                f"nothing was heard since {show_instant(self.silent_since)}; {allowed:g} seconds are allowed",
            )
        for finding in self.findings:
            yield "FINDING", f"{finding.topic} at position {finding.position} {finding.problem}"

    def remedies(self, state: SagaState, options: Options) -> Iterable[str]:
        """What a person can do now."""
        for waiting in state.interventions:
            yield f"a person must decide: {one_line(waiting.cause)}"
        if self.parked:
            yield "to try it again, when the cause is mended:"
            for service, position in self.parked:
                yield f"  {options.again('deadletters', 'replay', service, str(position), '--reason', 'WHY')}"
        if self.is_stalled:
            yield f"whether its service runs and what it could not handle: {options.again('participants')}"
            yield f"to let the services react here: {options.again('participants', 'run')}"
        if self.can_be_cancelled:
            yield f"to turn it back: {options.again('cancel', state.saga_id, '--reason', 'WHY')}"
        yield f"all that was recorded: {options.again('history', state.saga_id)}"


def _parked(recorded: Iterable[RecordedEvent]) -> Iterable[ParkedDelivery]:
    """The dead letters of a process that nobody has tried again."""
    parked: dict[ParkedDelivery, bool] = {}
    for each in recorded:
        match each.event:
            case DeliveryFailed(service=service, position=position, retry_at=retry_at):
                parked[ParkedDelivery(service, position)] = retry_at is None
            case (
                DeliveryReplayed(service=service, position=position)
                | DeliverySettled(service=service, position=position)
            ):
                parked[ParkedDelivery(service, position)] = False
    return (letter for letter, is_parked in parked.items() if is_parked)
