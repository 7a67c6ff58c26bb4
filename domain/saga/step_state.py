"""The state of a step: how far its action and its compensation have come."""

from __future__ import annotations

from datetime import datetime
from enum import StrEnum
from typing import Final

from msgspec import Raw, Struct

from .approval import Approval
from .event_parts import Failure, Wait


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
    """Its condition was false, or a person decided to continue without it."""


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
    approvals: tuple[Approval[Raw], ...] = ()
    """The approvals that count, while or after it waits for several."""
    result: Raw | None = None
    error: Failure | None = None
    reported: Raw | None = None
    """The progress that its attempts recorded last."""

    @property
    def finished(self) -> bool:
        """Whether it succeeded, or the saga continues without it."""
        return self.progress is DONE or self.progress is SKIPPED


class StepState(Struct, frozen=True, gc=False):
    """The progress of a step's action and of its compensation."""

    forward: StepProgress = StepProgress()
    compensation: StepProgress = StepProgress()

    @property
    def owes_compensation(self) -> bool:
        """Whether the action happened, or may have, and is not undone."""
        happened = self.forward.progress is DONE or self.forward.possibly_executed
        return happened and not self.compensation.finished


UNTOUCHED = StepState()
