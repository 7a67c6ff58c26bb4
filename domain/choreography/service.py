"""Services: the participants of a choreography, each with the events it reacts to.

    payment = Service("payment")

    @payment.reacts(order_choreography, InventoryReserved)
    def capture(reserved: InventoryReserved, history: ProcessHistory) -> list[Command]: ...

A reaction is pure. It takes an event and the history of its process, and returns commands for the service's own
streams, or `NothingToDo` with the reason. Deciding the commands yields the events that the service publishes.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from datetime import datetime
from typing import Any, NamedTuple, TypeAlias, TypeVar

from msgspec import Struct

from ..errors import DefinitionError, SagaledgerError
from ..event import Event, event
from ..names import check_service_name
from ..participant import Command, Participant
from ..saga.events import Direction
from ..saga.retry_policy import Retry, check_retry
from .choreography import Choreography, EventRole, is_whole

T = TypeVar("T", bound=Event)


class ProcessHistoryIncomplete(SagaledgerError):
    """A reaction needs an event that its process does not have."""


class ProcessHistory:
    """What a service knows about a process when an event arrives: the latest event of each type before it."""

    def __init__(self, process_id: str, events: Iterable[Event] = ()) -> None:
        self.process_id = process_id
        self._latest: dict[type[Event], Event] = {type(event): event for event in events}

    def has(self, type_: type[Event]) -> bool:
        """Whether the process has an event of this type."""
        return type_ in self._latest

    def latest(self, type_: type[T]) -> T:
        """Returns the latest event of a type. Raises `ProcessHistoryIncomplete` if there is none."""
        found = self._latest.get(type_)
        if not isinstance(found, type_):
            raise ProcessHistoryIncomplete(f"process {self.process_id!r} has no {type_.schema.name} yet")
        return found


class NothingToDo(Struct, frozen=True):
    """A service has nothing to do about an event, and says why."""

    reason: str


Reaction: TypeAlias = Callable[[Any, ProcessHistory], "Sequence[Command] | NothingToDo"]
"""Takes an event and its process history; returns commands, which are decided in order, all or none."""
R = TypeVar("R", bound=Reaction)


class ReactionRule(NamedTuple):
    """A reaction, and the condition on events of its type under which it applies."""

    choreography: Choreography
    react: Reaction
    when: Callable[[Any], bool]


class Service:
    """A participant of choreographies: it follows the log, and reacts to events of its own processes only.

    `retry`: how often a failing reaction is tried before its event is parked as a dead letter.
    """

    def __init__(self, name: str, *, retry: Retry | None = None) -> None:
        check_service_name(name, f"service {name!r}")
        check_retry(retry, f"the retry policy of service {name!r}")
        self.name = name
        self.retry = retry or Retry(attempts=5)
        self._rules: dict[tuple[str, str], ReactionRule] = {}

    def reacts(
        self, choreography: Choreography, type_: type[Event], *, when: Callable[[Any], bool] = is_whole
    ) -> Callable[[R], R]:
        """Declare a reaction to an event of a process. By default it waits for the last part of an event in parts."""

        def declare(reaction: R) -> R:
            key = (choreography.name, type_.schema.name)
            if key in self._rules:
                raise DefinitionError(f"service {self.name!r} already reacts to {key[1]} of {key[0]}")
            self._rules[key] = ReactionRule(choreography, reaction, when)
            return reaction

        return declare

    @property
    def choreographies(self) -> tuple[Choreography, ...]:
        """The choreographies in which the service takes part."""
        return tuple({rule.choreography.name: rule.choreography for rule in self._rules.values()}.values())

    @property
    def topics(self) -> tuple[str, ...]:
        """The stored names of the events that the service reacts to."""
        return tuple(sorted({topic for _, topic in self._rules}))

    def response_to(self, choreography: str, topic: str) -> ReactionRule | None:
        """Returns the reaction to an event of a choreography; None if the service does not react to it."""
        return self._rules.get((choreography, topic))

    def skip(self, choreography: Choreography, cause: Event, history: ProcessHistory, nothing: NothingToDo) -> Command:
        """Returns the command that records that the service had nothing to do."""
        stage = choreography.stage_of(self.name)
        meaning = choreography.meanings.get(type(cause))
        aborts = meaning is not None and meaning.role is EventRole.ABORTS
        return SkipStep(
            self.name,
            history.process_id,
            type(cause).schema.name,
            None if stage is None else stage.name,
            Direction.COMPENSATION if aborts else Direction.FORWARD,
            nothing.reason,
        )


# Recording that there was nothing to do


@event("Abstained")
class StepSkipped(Event, frozen=True):
    """A service had nothing to do, or nothing to undo, for its step."""

    service: str
    cause: str
    """The stored name of the event that the service would have reacted to."""
    step: str | None
    direction: Direction
    reason: str


class SkipStep(Command, frozen=True):
    """Record that a service had nothing to do, or nothing to undo."""

    service: str
    process_id: str
    cause: str
    step: str | None
    direction: Direction
    reason: str


def _decide(_: int, command: SkipStep, at: datetime) -> Sequence[Event]:
    return [StepSkipped(at, command.service, command.cause, command.step, command.direction, command.reason)]


SKIPPED_STEPS = Participant(
    "abstention",
    initial=0,
    state_type=int,
    events=(StepSkipped,),
    commands={SkipStep: lambda command: f"{command.service}.{command.process_id}"},
    decide=_decide,
    evolve=lambda count, _: count + 1,
)
"""One stream for each service and process."""
