"""One saga of a rehearsal, and its transitions, in which local steps fail as planned."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime

from msgspec import Struct

from ...domain.event import Event
from ...domain.participant import Command
from ...domain.saga.decision import Attempt
from ...domain.saga.state import SagaState
from ...domain.saga.step import AnyStep
from ...domain.saga.step_context import StepContext
from ..worker.group_commit.transition import Transition
from ..worker.held_sagas import HeldSaga
from .plan import Plan


class RehearsedSaga(Struct, eq=False):
    """A saga of the run: the rehearsed one, or a sub-saga."""

    held: HeldSaga
    path: str
    """The step that it is, seen from the rehearsed saga; empty for that one itself."""
    events: list[Event] = []
    """Its own events, in order."""
    attempts: list[Attempt] = []
    """Every attempt at a step that calls a service, in order."""
    ready: bool = True
    wake_at: datetime | None = None

    def path_of(self, step: str) -> str:
        """Return a step's name, seen from the rehearsed saga."""
        return f"{self.path}/{step}" if self.path else step

    @property
    def state(self) -> SagaState:
        """Its present state."""
        return self.held.state


class RehearsedTransition(Transition, kw_only=True):
    """A transition whose local steps fail as planned."""

    plan: Plan
    rehearsed: RehearsedSaga

    def invoke(self, step: AnyStep, context: StepContext, value: object) -> Sequence[Command]:
        path = self.rehearsed.path_of(context.step)
        self.plan.raise_planned(path, context.direction, context.attempt)
        return super().invoke(step, context, value)
