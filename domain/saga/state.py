"""A saga's state: the fold of its events (see `evolve.py`)."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from datetime import datetime
from enum import StrEnum
from itertools import chain

from msgspec import Raw, Struct

from .approval import Approval, has_approved
from .event_parts import Parent, Wait
from .events import COMPENSATION, FORWARD, Direction
from .item_names import item_name, split_item_name
from .items import Items
from .step_state import FAILED, PENDING, RETRYING, RUNNING, UNTOUCHED, WAITING, StepProgress, StepState


class Status(StrEnum):
    """The status of a saga, as the `sagas` view shows it."""

    RUNNING = "running"
    WAITING = "waiting"
    COMPENSATING = "compensating"
    COMPLETED = "completed"
    COMPENSATED = "compensated"
    NEEDS_INTERVENTION = "needs_intervention"
    ABANDONED = "abandoned"


class ReceivedSignal(Struct, frozen=True, gc=False):
    """A signal that the saga received, and that no step has taken yet."""

    payload: Raw
    refused: bool
    at: datetime
    step: str | None = None
    """The one step that it is for; None: any step that waits for a signal of this name."""
    actor: str = ""
    reason: str | None = None
    version: int = 0
    """The version of the saga at which it was recorded."""

    def counts_for(self, step: str, wait: Wait | None, given: Iterable[Approval[Raw]] = ()) -> bool:
        """Whether the step may take it: it is not for another step, came before the waiting ended, and, unless it is a
        refusal, its actor may approve and is not among those who have (`given`).

        Only the times that were recorded matter, not when a worker looks. `wait` is None if nothing says what the step
        waits for.
        """
        if self.step is not None and self.step != step:
            return False
        if wait is None:
            return True
        if wait.due_at is not None and self.at > wait.due_at:
            return False
        return self.refused or not (self.actor in wait.excluded or has_approved(self.actor, given))

    @property
    def size_bytes(self) -> int:
        """How much of its sender's it holds, in bytes (of text, about)."""
        return len(self.payload) + len(self.reason or "")


class Intervention(Struct, frozen=True, gc=False):
    """A step that needs a person."""

    step: str
    direction: Direction
    cause: str


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
    started_by: str | None = None
    """Who started it, if that is on record in its own events."""
    deadline_exceeded: bool = False
    cancelled: bool = False
    past_pivot: bool = False
    steps: Mapping[str, StepState] = {}
    items: Mapping[str, Items] = {}
    """For each for-each step that has listed its items, how far these have come."""
    interventions: tuple[Intervention, ...] = ()
    signals: Mapping[str, tuple[ReceivedSignal, ...]] = {}
    """The signals that no step has taken yet, by name, in the order in which they came."""
    end: Status | None = None
    result: Raw | None = None
    cause: str | None = None

    def step(self, name: str) -> StepState:
        """Returns the state of a step, or of one item (`book[3]`); `UNTOUCHED` if no event mentions it."""
        step = self.steps.get(name)
        if step is not None:
            return step
        item = self.item(name)
        return UNTOUCHED if item is None else self.items[item[0]].state(item[1])

    def item(self, name: str) -> tuple[str, int] | None:
        """Returns the step and the index of an item by its name (`book[3]`); None if it is no item's name."""
        item = split_item_name(name) if self.items else None
        return item if item is not None and item[0] in self.items else None

    def progress_of(self, name: str, direction: Direction) -> StepProgress:
        """Returns the progress of a step in one direction."""
        step = self.steps.get(name) or self.step(name)
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
        return any(items.undoing for items in self.items.values()) if self.items else False

    @property
    def in_flight(self) -> tuple[tuple[str, Direction], ...]:
        """The steps, each with its direction, whose latest attempt has no outcome yet."""
        attempts: list[tuple[str, Direction]] = []
        for name, step in chain(self.steps.items(), self.open_items) if self.items else self.steps.items():
            if step.forward.progress is RUNNING:
                attempts.append((name, FORWARD))
            if step.compensation.progress is RUNNING:
                attempts.append((name, COMPENSATION))
        return tuple(attempts)

    @property
    def open_items(self) -> Iterator[tuple[str, StepState]]:
        """The items of for-each steps that are under way, each by its name."""
        for step, items in self.items.items():
            for index, state in items.open.items():
                yield item_name(step, index), state

    @property
    def size_bytes(self) -> int:
        """How many bytes the values of users in it have: the input, the results, and the items."""
        results = sum(len(step.forward.result or b"") for step in self.steps.values())
        listed = sum(items.size_bytes for items in self.items.values()) if self.items else 0
        return len(self.input) + results + listed

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
        if self.items and any(step.forward.progress is RUNNING for _, step in self.open_items):
            return Status.RUNNING
        waiting = False
        for step in self.steps.values():
            progress = step.forward.progress
            if progress is RUNNING:
                return Status.RUNNING
            waiting = waiting or progress is RETRYING or progress is WAITING
        return Status.WAITING if waiting else Status.RUNNING
