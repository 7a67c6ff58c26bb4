"""A saga's state: the fold of its events (see `evolve.py`)."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from enum import StrEnum
from typing import Final

from msgspec import Raw, Struct

from .events import COMPENSATION, FORWARD, Direction, Failure, Parent, Wait


class Status(StrEnum):
    """The status of a saga, as the `sagas` view shows it."""

    RUNNING = "running"
    WAITING = "waiting"
    COMPENSATING = "compensating"
    COMPLETED = "completed"
    COMPENSATED = "compensated"
    NEEDS_INTERVENTION = "needs_intervention"
    ABANDONED = "abandoned"


class Progress(StrEnum):
    """How far a step's action, or its compensation, has come."""

    PENDING = "pending"
    RUNNING = "running"
    WAITING = "waiting"
    """The step waits for a timer, a signal or another saga."""
    RETRYING = "retrying"
    """An attempt failed, and another is scheduled."""
    FAILED = "failed"
    """An attempt failed, and no other follows unless a person says so."""
    DONE = "done"
    SKIPPED = "skipped"
    """A person decided to continue without it."""


PENDING: Final = Progress.PENDING
RUNNING: Final = Progress.RUNNING
WAITING: Final = Progress.WAITING
RETRYING: Final = Progress.RETRYING
FAILED: Final = Progress.FAILED
DONE: Final = Progress.DONE
SKIPPED: Final = Progress.SKIPPED


class StepProgress(Struct, frozen=True, gc=False):
    """The progress of a step's action, or of its compensation."""

    progress: Progress = PENDING
    attempt: int = 0
    failures: int = 0
    """Failed attempts since the first one, or since a person said to retry."""
    unknowns: int = 0
    """Attempts in the same period whose worker died."""
    possibly_executed: bool = False
    """An attempt that was not recorded as a success may have had its effect."""
    retry_at: datetime | None = None
    wait: Wait | None = None
    waits_since: datetime | None = None
    """When it began to wait: of the steps that wait for one signal, the first takes it."""
    result: Raw | None = None
    error: Failure | None = None

    @property
    def finished(self) -> bool:
        """Whether it succeeded, or a person decided to continue without it."""
        return self.progress is DONE or self.progress is SKIPPED


class ReceivedSignal(Struct, frozen=True, gc=False):
    """A signal that the saga received, and that no step has taken yet."""

    payload: Raw
    refused: bool
    at: datetime
    step: str | None = None
    """The one step that it is for; None: any step that waits for a signal of this name."""

    def counts_for(self, step: str, wait: Wait | None) -> bool:
        """Whether the step may take it: it is not for another step, and came before the waiting ended.

        Only the times that were recorded matter, not when a worker looks. `wait` is None before the step waits.
        """
        in_time = wait is None or wait.due_at is None or self.at <= wait.due_at
        return in_time and self.step in (None, step)


class StepState(Struct, frozen=True, gc=False):
    """The progress of a step's action and of its compensation."""

    forward: StepProgress = StepProgress()
    compensation: StepProgress = StepProgress()


class Intervention(Struct, frozen=True, gc=False):
    """A step that needs a person."""

    step: str
    direction: Direction
    cause: str


UNTOUCHED = StepState()


class SagaState(Struct, frozen=True, gc=False):
    """Everything that the events of a saga say about it."""

    saga_id: str
    version: int = 0
    """How many events were folded into it."""
    definition: str = ""
    definition_version: int = 0
    fingerprint: str = ""
    input: Raw = Raw(b"null")
    started_at: datetime | None = None
    updated_at: datetime | None = None
    ended_at: datetime | None = None
    deadline: datetime | None = None
    begins_at: datetime | None = None
    parent: Parent | None = None
    style: str = "orchestrated"
    deadline_exceeded: bool = False
    cancelled: bool = False
    past_pivot: bool = False
    steps: Mapping[str, StepState] = {}
    interventions: tuple[Intervention, ...] = ()
    signals: Mapping[str, tuple[ReceivedSignal, ...]] = {}
    """The signals that no step has taken yet, by name, in the order in which they came."""
    end: Status | None = None
    result: Raw | None = None
    cause: str | None = None

    def step(self, name: str) -> StepState:
        """Returns a step's state; `UNTOUCHED` if no event mentions the step."""
        return self.steps.get(name, UNTOUCHED)

    def progress_of(self, name: str, direction: Direction) -> StepProgress:
        """Returns the progress of a step in one direction."""
        step = self.steps.get(name, UNTOUCHED)
        return step.forward if direction is FORWARD else step.compensation

    @property
    def scheduled(self) -> bool:
        """Whether the saga is to begin later, and no step has started."""
        return self.begins_at is not None and not self.steps

    @property
    def compensating(self) -> bool:
        """Whether the saga undoes its steps: it is cancelled, late, or gave a step up, and is not past its pivot."""
        if self.past_pivot:
            return False
        if self.cancelled or self.deadline_exceeded:
            return True
        for step in self.steps.values():
            if step.forward.progress is FAILED or step.compensation.progress is not PENDING:
                return True
        return False

    @property
    def in_flight(self) -> tuple[tuple[str, Direction], ...]:
        """The steps, each with its direction, whose latest attempt has no outcome yet."""
        attempts: list[tuple[str, Direction]] = []
        for name, step in self.steps.items():
            if step.forward.progress is RUNNING:
                attempts.append((name, FORWARD))
            if step.compensation.progress is RUNNING:
                attempts.append((name, COMPENSATION))
        return tuple(attempts)

    @property
    def status(self) -> Status:
        """The saga's status, as the `sagas` view shows it."""
        if self.end is not None:
            return self.end
        if self.interventions:
            return Status.NEEDS_INTERVENTION
        if self.compensating:
            return Status.COMPENSATING
        if self.scheduled:
            return Status.WAITING
        waiting = False
        for step in self.steps.values():
            progress = step.forward.progress
            if progress is RUNNING:
                return Status.RUNNING
            waiting = waiting or progress is RETRYING or progress is WAITING
        return Status.WAITING if waiting else Status.RUNNING
