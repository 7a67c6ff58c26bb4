"""Services: the participants of a choreography, each with the events it reacts to.

    payments = Service("payment")

    @payments.reacts(order_flow, InventoryReserved)
    def take_the_money(event: InventoryReserved, story: Story) -> list[Command]: ...

A reaction is pure: from an event, and the story of its process so far, to commands for the service's own streams, or
to `NothingToDo` with the reason. Deciding the commands yields the events that the service publishes.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from datetime import datetime
from typing import Any, NamedTuple, TypeAlias, TypeVar

from msgspec import Struct

from ..errors import DefinitionError, SagaledgerError
from ..event import Event, event
from ..participant import Command, Participant
from ..saga.events import Direction
from ..saga.retry_policy import Retry
from .choreography import Choreography, EventRole, is_whole

T = TypeVar("T", bound=Event)


class ProcessHistoryIncomplete(SagaledgerError):
    """A reaction needs an event that its process does not have."""


class ProcessHistory:
    """What a service knows of one process when an event reaches it: the latest event of each type until then."""

    def __init__(self, process_id: str, events: Iterable[Event] = ()) -> None:
        self.process_id = process_id
        self._latest: dict[type[Event], Event] = {type(event): event for event in events}

    def has(self, type_: type[Event]) -> bool:
        """Whether the process has an event of this type."""
        return type_ in self._latest

    def latest(self, type_: type[T]) -> T:
        """The latest event of a type. Raises `ProcessHistoryIncomplete` if there is none."""
        found = self._latest.get(type_)
        if not isinstance(found, type_):
            raise ProcessHistoryIncomplete(f"process {self.process_id!r} has no {type_.schema.name} yet")
        return found


class NothingToDo(Struct, frozen=True):
    """A service has nothing to do about an event, and says why."""

    reason: str


Reaction: TypeAlias = Callable[[Any, ProcessHistory], "Sequence[Command] | NothingToDo"]
"""From an event and the story before it to commands, decided one after the other, all or none."""
R = TypeVar("R", bound=Reaction)


class ReactionRule(NamedTuple):
    """A reaction, and to which events of its type it applies."""

    choreography: Choreography
    react: Reaction
    when: Callable[[Any], bool]


class Service:
    """A participant of choreographies: it follows the log, and reacts to the events of its processes alone.

    `retry`: how often a reaction that fails is tried before its event is parked as a dead letter.
    """

    def __init__(self, name: str, *, retry: Retry | None = None) -> None:
        if not name or not name.replace("_", "").isalnum():
            raise DefinitionError(f"service {name!r} needs a name of letters, digits and underscores")
        self.name = name
        self.retry = retry or Retry(attempts=5)
        self._responses: dict[tuple[str, str], ReactionRule] = {}

    def reacts(
        self, choreography: Choreography, type_: type[Event], *, when: Callable[[Any], bool] = is_whole
    ) -> Callable[[R], R]:
        """Declare what the service does about an event of a process; about one told in parts, with the last part."""

        def declare(reaction: R) -> R:
            key = (choreography.name, type_.schema.name)
            if key in self._responses:
                raise DefinitionError(f"service {self.name!r} already reacts to {key[1]} of {key[0]}")
            self._responses[key] = ReactionRule(choreography, reaction, when)
            return reaction

        return declare

    @property
    def choreographies(self) -> tuple[Choreography, ...]:
        """The processes in which it takes part."""
        return tuple(
            {response.choreography.name: response.choreography for response in self._responses.values()}.values()
        )

    @property
    def topics(self) -> tuple[str, ...]:
        """The stored names of the events that it reacts to."""
        return tuple(sorted({topic for _, topic in self._responses}))

    def response_to(self, flow_name: str, topic: str) -> ReactionRule | None:
        """What it does about an event of a process, if anything."""
        return self._responses.get((flow_name, topic))

    def abstain(
        self, choreography: Choreography, cause: Event, history: ProcessHistory, nothing: NothingToDo
    ) -> Command:
        """The command that puts on record that the service had nothing to do."""
        stage = choreography.stage_of(self.name)
        meaning = choreography.meanings.get(type(cause))
        back = meaning is not None and meaning.role is EventRole.TURNS
        return SkipStep(
            self.name,
            history.process_id,
            type(cause).schema.name,
            None if stage is None else stage.name,
            Direction.COMPENSATION if back else Direction.FORWARD,
            nothing.reason,
        )


# Saying that there was nothing to do


@event("Abstained")
class StepSkipped(Event, frozen=True):
    """A service had nothing to do for a step, or nothing to undo, and says why."""

    service: str
    cause: str
    """The stored name of the event that it was about."""
    step: str | None
    direction: Direction
    reason: str


class SkipStep(Command, frozen=True):
    """Put on record that a service had nothing to do."""

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
