"""Dead letters: events whose reaction failed, from the first failure until the reaction succeeds.

A service continues with the events of other processes. Later events of the same process wait for the dead letter that
blocks them, because each process is handled in order.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from enum import StrEnum

from msgspec import Struct, field
from msgspec.structs import replace

from ..event import Event, event
from ..participant import Command, Participant, Refused
from ..saga.event_parts import Failure

# Events


@event("DeliveryFailed")
class DeliveryFailed(Event, frozen=True):
    """A service's reaction to an event failed; it is tried again at `retry_at` (None: the event is parked)."""

    service: str
    position: int
    """The log position of the event."""
    topic: str
    attempt: int
    error: Failure
    retry_at: datetime | None = None


@event("DeliveryDeferred")
class DeliveryDeferred(Event, frozen=True):
    """An event waits for an earlier event of its process, whose reaction failed."""

    service: str
    position: int
    topic: str
    blocker: int = field(name="behind")
    """The log position of the event that it waits for, stored as `behind`."""


@event("DeliveryReplayed")
class DeliveryReplayed(Event, frozen=True):
    """A person decided that a parked event is tried again."""

    service: str
    position: int
    actor: str
    reason: str


@event("DeliverySettled")
class DeliverySettled(Event, frozen=True):
    """The event was handled in the end."""

    service: str
    position: int


DEAD_LETTER_EVENTS: tuple[type[Event], ...] = (DeliveryFailed, DeliveryDeferred, DeliveryReplayed, DeliverySettled)

# Commands


class FailDelivery(Command, frozen=True):
    """Record that a reaction failed."""

    service: str
    position: int
    topic: str
    error: Failure
    retry_at: datetime | None


class DeferDelivery(Command, frozen=True):
    """Record that an event waits for an earlier one."""

    service: str
    position: int
    topic: str
    blocker: int


class ReplayDelivery(Command, frozen=True):
    """Try a parked event again."""

    service: str
    position: int
    actor: str
    reason: str


class SettleDelivery(Command, frozen=True):
    """Record that the event was handled."""

    service: str
    position: int


DeadLetterCommand = FailDelivery | DeferDelivery | ReplayDelivery | SettleDelivery

# State


class DeadLetterStatus(StrEnum):
    """The status of a dead letter."""

    ABSENT = "absent"
    RETRYING = "retrying"
    PARKED = "parked"
    DEFERRED = "deferred"
    SETTLED = "settled"


class DeadLetter(Struct, frozen=True):
    """One event that a service could not handle at the first attempt."""

    status: DeadLetterStatus = DeadLetterStatus.ABSENT
    attempts: int = 0
    """Failed attempts since the first one, or since a person decided to try again."""
    retry_at: datetime | None = None
    """When it may be tried; None: as soon as its status allows."""

    @property
    def is_open(self) -> bool:
        """Whether the event is still to be handled."""
        return self.status not in (DeadLetterStatus.ABSENT, DeadLetterStatus.SETTLED)


def evolve(letter: DeadLetter, event: Event) -> DeadLetter:
    match event:
        case DeliveryFailed(retry_at=retry_at):
            status = DeadLetterStatus.PARKED if retry_at is None else DeadLetterStatus.RETRYING
            return DeadLetter(status, letter.attempts + 1, retry_at)
        case DeliveryDeferred():
            return DeadLetter(DeadLetterStatus.DEFERRED)
        case DeliveryReplayed():
            return DeadLetter(DeadLetterStatus.RETRYING, 0, event.at)
        case DeliverySettled():
            return replace(letter, status=DeadLetterStatus.SETTLED, retry_at=None)
        case _:
            return letter


# Decision


def decide(letter: DeadLetter, command: DeadLetterCommand, at: datetime) -> Sequence[Event]:
    service, position = command.service, command.position
    match command:
        case FailDelivery(topic=topic, error=error, retry_at=retry_at):
            return [DeliveryFailed(at, service, position, topic, letter.attempts + 1, error, retry_at)]
        case DeferDelivery(topic=topic, blocker=blocker):
            return [] if letter.is_open else [DeliveryDeferred(at, service, position, topic, blocker)]
        case ReplayDelivery(actor=actor, reason=reason):
            if letter.status is not DeadLetterStatus.PARKED:
                raise Refused(f"event {position} is not parked for service {service}: it is {letter.status}")
            return [DeliveryReplayed(at, service, position, actor, reason)]
        case SettleDelivery():
            return [DeliverySettled(at, service, position)] if letter.is_open else []


def _key(command: DeadLetterCommand) -> str:
    return f"{command.service}.{command.position}"


DEAD_LETTERS = Participant(
    "letter",
    initial=DeadLetter(),
    state_type=DeadLetter,
    events=DEAD_LETTER_EVENTS,
    commands=dict.fromkeys((FailDelivery, DeferDelivery, ReplayDelivery, SettleDelivery), _key),
    decide=decide,
    evolve=evolve,
)
"""Dead letters, with one stream for each service and event."""
