"""Dead letters: events whose reaction failed, from the first failure to the day on which it succeeds.

A service's position moves on past them, so that other processes do not wait. Later events of the same process wait
behind the letter: each process is handled in order.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from enum import StrEnum

from msgspec import Struct
from msgspec.structs import replace

from ..event import Event, event
from ..participant import Command, Participant, Refused
from ..saga.events import Failure

# Events


@event("DeliveryFailed")
class DeliveryFailed(Event, frozen=True):
    """A service's reaction to an event failed; `retry_at` says when the next attempt is, None that it is parked."""

    service: str
    position: int
    """Of the event in the log."""
    topic: str
    attempt: int
    error: Failure
    retry_at: datetime | None = None


@event("DeliveryDeferred")
class DeliveryDeferred(Event, frozen=True):
    """An event waits for an earlier one of its process, whose reaction failed."""

    service: str
    position: int
    topic: str
    behind: int
    """The position of the one that it waits for."""


@event("DeliveryReplayed")
class DeliveryReplayed(Event, frozen=True):
    """A person said to try a parked event again."""

    service: str
    position: int
    actor: str
    reason: str


@event("DeliverySettled")
class DeliverySettled(Event, frozen=True):
    """The event was handled after all."""

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
    """Record that an event waits behind another."""

    service: str
    position: int
    topic: str
    behind: int


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
    """Where a letter stands."""

    ABSENT = "absent"
    RETRYING = "retrying"
    PARKED = "parked"
    DEFERRED = "deferred"
    SETTLED = "settled"


class DeadLetter(Struct, frozen=True):
    """One event that a service could not handle at once."""

    status: DeadLetterStatus = DeadLetterStatus.ABSENT
    attempts: int = 0
    """Since it first failed, or since a person said to try again."""
    retry_at: datetime | None = None
    """When it may be tried; None: at once, as far as its status lets it."""

    @property
    def is_open(self) -> bool:
        """Whether it still waits to be handled."""
        return self.status not in (DeadLetterStatus.ABSENT, DeadLetterStatus.SETTLED)


def evolve(letter: DeadLetter, fact: Event) -> DeadLetter:
    match fact:
        case DeliveryFailed(retry_at=retry_at):
            status = DeadLetterStatus.PARKED if retry_at is None else DeadLetterStatus.RETRYING
            return DeadLetter(status, letter.attempts + 1, retry_at)
        case DeliveryDeferred():
            return DeadLetter(DeadLetterStatus.DEFERRED)
        case DeliveryReplayed():
            return DeadLetter(DeadLetterStatus.RETRYING, 0, fact.at)
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
        case DeferDelivery(topic=topic, behind=behind):
            return [] if letter.is_open else [DeliveryDeferred(at, service, position, topic, behind)]
        case ReplayDelivery(actor=actor, reason=reason):
            if letter.status is not DeadLetterStatus.PARKED:
                raise Refused(f"event {position} is not parked for service {service}: it is {letter.status}")
            return [DeliveryReplayed(at, service, position, actor, reason)]
        case SettleDelivery():
            return [DeliverySettled(at, service, position)] if letter.is_open else []


def _letter(command: DeadLetterCommand) -> str:
    return f"{command.service}.{command.position}"


DEAD_LETTERS = Participant(
    "letter",
    initial=DeadLetter(),
    state_type=DeadLetter,
    events=DEAD_LETTER_EVENTS,
    commands=dict.fromkeys((FailDelivery, DeferDelivery, ReplayDelivery, SettleDelivery), _letter),
    decide=decide,
    evolve=evolve,
)
"""One stream for each service and event."""
