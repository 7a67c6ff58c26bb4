"""Returns: goods that a customer sends back. A return is not linked to any order."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from enum import StrEnum

from msgspec import Struct

from ..event import Event, event
from ..participant import Command, Participant, Refused
from .values import Quantity

# Events


@event("ReturnRequested")
class ReturnRequested(Event, frozen=True):
    """A customer sent goods back (at `requested_at`, by the shop's own records), worth `total_minor`.

    `articles` is for the services of a choreography, which get no commands and need to know which articles came back.
    """

    return_id: str
    customer_id: str | None
    country: str
    lines: int
    total_minor: int
    currency: str
    requested_at: datetime
    articles: tuple[Quantity, ...] = ()


@event("ReturnCompleted")
class ReturnCompleted(Event, frozen=True):
    """The goods are back on the shelf and the customer has the money."""

    return_id: str


# Commands


class RequestReturn(Command, frozen=True):
    """Open a return."""

    return_id: str
    customer_id: str | None
    country: str
    lines: int
    total_minor: int
    currency: str
    requested_at: datetime
    articles: tuple[Quantity, ...] = ()


class CompleteReturn(Command, frozen=True):
    """Close a return."""

    return_id: str


ReturnCommand = RequestReturn | CompleteReturn

# State


class ReturnStatus(StrEnum):
    """How far a return has come."""

    ABSENT = "absent"
    REQUESTED = "requested"
    COMPLETED = "completed"


class ReturnState(Struct, frozen=True):
    """How far the return has come."""

    status: ReturnStatus = ReturnStatus.ABSENT


def evolve(state: ReturnState, event: Event) -> ReturnState:
    match event:
        case ReturnRequested():
            return ReturnState(ReturnStatus.REQUESTED)
        case ReturnCompleted():
            return ReturnState(ReturnStatus.COMPLETED)
        case _:
            return state


# Decision


def decide(state: ReturnState, command: ReturnCommand, at: datetime) -> Sequence[Event]:
    return_id = command.return_id
    match command, state.status:
        case RequestReturn(), ReturnStatus.ABSENT:
            return [
                ReturnRequested(
                    at,
                    return_id,
                    command.customer_id,
                    command.country,
                    command.lines,
                    command.total_minor,
                    command.currency,
                    command.requested_at,
                    command.articles,
                )
            ]
        case CompleteReturn(), ReturnStatus.REQUESTED:
            return [ReturnCompleted(at, return_id)]
        case CompleteReturn(), ReturnStatus.COMPLETED:
            return []
        case _:
            raise Refused(f"return {return_id} is {state.status}: {type(command).__name__} does not apply to it")


def _return(command: ReturnCommand) -> str:
    return command.return_id


RETURNS = Participant(
    "return",
    initial=ReturnState(),
    state_type=ReturnState,
    events=(ReturnRequested, ReturnCompleted),
    commands=dict.fromkeys((RequestReturn, CompleteReturn), _return),
    decide=decide,
    evolve=evolve,
)
