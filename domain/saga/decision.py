"""What is decided for a saga: what to record, which attempts to make and how, and when to decide again."""

from __future__ import annotations

import hashlib
from datetime import datetime

from msgspec import Struct

from ..event import Event
from .events import FORWARD, Direction
from .step import AnyStep
from .step_kind import CALL, LOCAL
from .step_state import PENDING, RUNNING, WAITING, StepProgress


class Attempt(Struct, frozen=True, gc=False):
    """An attempt to make: at a step's action, or at its compensation."""

    step: str
    direction: Direction
    attempt: int
    key: str


class Decision(Struct, frozen=True, gc=False):
    """What to record, which attempts to make and how, and when to decide again if nothing happens before."""

    record: tuple[Event, ...] = ()
    call: tuple[Attempt, ...] = ()
    """Attempts that call a function, once their start is durable."""
    local: tuple[Attempt, ...] = ()
    """Attempts that participants of the same ledger decide, in the append that records them."""
    wait: tuple[Attempt, ...] = ()
    """Steps that begin to wait, and run nothing."""
    ask: tuple[Attempt, ...] = ()
    """Attempts at steps of which the definition's code first says whether they are needed, or what their items are."""
    wake_at: datetime | None = None
    call_off: tuple[str, ...] = ()
    """Sub-sagas that have to be cancelled before this saga can compensate."""
    unwanted: tuple[str, ...] = ()
    """Steps whose actions still run, although the saga compensates: they should end."""

    @property
    def attempts(self) -> tuple[Attempt, ...]:
        """Every attempt to make, however it is made."""
        return self.call + self.local + self.wait + self.ask


IDLE = Decision()


def _is_undecided(progress: StepProgress) -> bool:
    return progress.progress is PENDING and not progress.possibly_executed


def idempotency_key(saga_id: str, step: str, direction: Direction) -> str:
    """Hash the saga, the step and the direction: the same key for every attempt, worker, restart and upgrade."""
    return hashlib.sha256(f"{saga_id}\x00{step}\x00{direction}".encode()).hexdigest()[:32]


class AttemptPlan(Struct, eq=False):
    """The attempts of one decision, sorted by how they are made, and the times at which others follow."""

    saga_id: str
    now: datetime
    call: tuple[Attempt, ...] = ()
    local: tuple[Attempt, ...] = ()
    wait: tuple[Attempt, ...] = ()
    ask: tuple[Attempt, ...] = ()
    wake_at: datetime | None = None

    def add(self, step: AnyStep, direction: Direction, progress: StepProgress, item: str | None = None) -> None:
        """Plan the next attempt, for now or for its time; one that runs or waits is left alone.

        `item`: the name of the one item of a for-each step that is to be attempted.
        """
        if progress.progress is RUNNING or progress.progress is WAITING:
            return
        if progress.retry_at is not None and progress.retry_at > self.now:
            self.wake(progress.retry_at)
            return
        name, mode = item or step.name, step.mode_of(direction)
        attempt = Attempt(name, direction, progress.attempt + 1, idempotency_key(self.saga_id, name, direction))
        if step.asks and item is None and direction is FORWARD and _is_undecided(progress):
            self.ask += (attempt,)
        elif mode is CALL:
            self.call += (attempt,)
        elif mode is LOCAL:
            self.local += (attempt,)
        else:
            self.wait += (attempt,)

    def wake(self, at: datetime) -> None:
        """Decide again at this time, if not before."""
        self.wake_at = at if self.wake_at is None else min(self.wake_at, at)

    def decision(self, unwanted: tuple[str, ...] = ()) -> Decision:
        """Returns the decision to make these attempts."""
        return Decision((), self.call, self.local, self.wait, self.ask, self.wake_at, (), unwanted)
