"""A saga's state: the fold of its facts (see `evolution.py`)."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from enum import StrEnum
from typing import Final

from msgspec import Raw, Struct

from .events import (
    COMPENSATION,
    FORWARD,
    Direction,
    Failure,
    Parent,
    Wait,
)


class Status(StrEnum):
    """Where a saga stands."""

    RUNNING = "running"
    WAITING = "waiting"
    COMPENSATING = "compensating"
    COMPLETED = "completed"
    COMPENSATED = "compensated"
    NEEDS_INTERVENTION = "needs_intervention"
    ABANDONED = "abandoned"


class Progress(StrEnum):
    """How far one direction of one step has come."""

    PENDING = "pending"
    RUNNING = "running"
    WAITING = "waiting"
    """It waits for a timer, a signal or another saga."""
    RETRYING = "retrying"
    """An attempt failed, and another is scheduled."""
    FAILED = "failed"
    """An attempt failed, and no other will follow by itself."""
    DONE = "done"
    SKIPPED = "skipped"
    """A person decided to go on without it."""


PENDING: Final = Progress.PENDING
RUNNING: Final = Progress.RUNNING
WAITING: Final = Progress.WAITING
RETRYING: Final = Progress.RETRYING
FAILED: Final = Progress.FAILED
DONE: Final = Progress.DONE
SKIPPED: Final = Progress.SKIPPED


class StepProgress(Struct, frozen=True, gc=False):
    """One direction of one step: its action, or its compensation."""

    progress: Progress = PENDING
    attempt: int = 0
    failures: int = 0
    """Failed attempts since it began, or since a person said to retry."""
    unknowns: int = 0
    """Attempts since then whose worker died."""
    possibly_executed: bool = False
    """Some attempt may have had its effect without being recorded as a success."""
    retry_at: datetime | None = None
    wait: Wait | None = None
    result: Raw | None = None
    error: Failure | None = None

    @property
    def finished(self) -> bool:
        """It happened, or a person decided to go on without it."""
        return self.progress is DONE or self.progress is SKIPPED


class Signal(Struct, frozen=True, gc=False):
    """What someone told the saga."""

    payload: Raw
    refused: bool


class StepState(Struct, frozen=True, gc=False):
    """A step's action and its compensation."""

    forward: StepProgress = StepProgress()
    compensation: StepProgress = StepProgress()


class Intervention(Struct, frozen=True, gc=False):
    """A step that waits for a person."""

    step: str
    direction: Direction
    cause: str


UNTOUCHED = StepState()


class SagaState(Struct, frozen=True, gc=False):
    """Everything that is known of a saga, from its facts alone."""

    saga_id: str
    version: int = 0
    """How many facts it is the fold of."""
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
    signals: Mapping[str, Signal] = {}
    end: Status | None = None
    result: Raw | None = None
    cause: str | None = None

    def step(self, name: str) -> StepState:
        """A step's state; untouched if nothing happened to it yet."""
        return self.steps.get(name, UNTOUCHED)

    def progress_of(self, name: str, direction: Direction) -> StepProgress:
        """One direction of a step."""
        step = self.steps.get(name, UNTOUCHED)
        return step.forward if direction is FORWARD else step.compensation

    @property
    def scheduled(self) -> bool:
        """Whether it was started for later, and has not begun."""
        return self.begins_at is not None and not self.steps

    @property
    def compensating(self) -> bool:
        """Whether it goes back: cancelled, out of time, or with a step given up, and not past its pivot."""
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
        """The attempts that were started and have no outcome yet."""
        attempts: list[tuple[str, Direction]] = []
        for name, step in self.steps.items():
            if step.forward.progress is RUNNING:
                attempts.append((name, FORWARD))
            if step.compensation.progress is RUNNING:
                attempts.append((name, COMPENSATION))
        return tuple(attempts)

    @property
    def status(self) -> Status:
        """Where it stands, as the `sagas` view shows it."""
        if self.end is not None:
            return self.end
        if self.interventions:
            return Status.NEEDS_INTERVENTION
        if self.compensating:
            return Status.COMPENSATING
        if self.scheduled:
            return Status.WAITING
        progress = {step.forward.progress for step in self.steps.values()}
        if RUNNING not in progress and (RETRYING in progress or WAITING in progress):
            return Status.WAITING
        return Status.RUNNING
