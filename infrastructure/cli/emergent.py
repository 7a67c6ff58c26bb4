"""What one asks of a saga without a coordinator: whom it waits for, since when, and whether it went as declared."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import datetime
from typing import Any, NamedTuple

from ...domain.choreography import Choreography
from ...domain.derivation import ConformanceBroken, awaited, stalls_at
from ...domain.recorded import Recorded
from ...domain.state import SagaState
from .instants import json_instant, show_instant
from .options import Options


class Emergent(NamedTuple):
    """How a choreographed saga stands."""

    step: str | None
    """What it waits for: a step, or the event that ends it; None if it has ended."""
    service: str | None
    stalls_at: datetime | None
    is_stalled: bool
    findings: tuple[ConformanceBroken, ...]

    @classmethod
    def of(cls, flow: Choreography, state: SagaState, recorded: Sequence[Recorded], now: datetime) -> Emergent:
        """Read it from the saga's state and facts."""
        waited = awaited(flow, state)
        silent_from = stalls_at(flow, state)
        findings = tuple(each.event for each in recorded if isinstance(each.event, ConformanceBroken))
        step, service = waited or (None, None)
        return cls(step, service, silent_from, silent_from is not None and silent_from < now, findings)

    def document(self) -> dict[str, Any]:
        """As JSON."""
        return {
            "waits_for": self.step,
            "service": self.service,
            "stalls_at": None if self.stalls_at is None else json_instant(self.stalls_at),
            "stalled": self.is_stalled,
            "findings": list(self.findings),
        }

    def lines(self) -> Iterable[tuple[str, str]]:
        """As lines of a screen: what each is, and what it says."""
        if self.step is not None:
            yield "waits for", f"{self.step}, which service {self.service} owes"
        if self.is_stalled:
            yield "STALLED", f"silent since before {show_instant(self.stalls_at)}"
        for finding in self.findings:
            yield "finding", f"{finding.topic} at position {finding.position} {finding.problem}"

    def remedies(self, state: SagaState, options: Options) -> Iterable[str]:
        """What a person can do now."""
        for waiting in state.interventions:
            yield f"a person must decide: {waiting.cause}"
            yield f"  {options.again('deadletters', 'list')}"
        if self.is_stalled:
            yield f"whether its service runs and what it could not handle: {options.again('participants')}"
            yield f"to let the services react here: {options.again('participants', 'run')}"
        yield f"all that was recorded: {options.again('history', state.saga_id)}"
