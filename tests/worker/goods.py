"""A shelf of goods: a small participant, and sagas that fill shelves and take from them."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime

from sagaledger.domain.event import Event, event
from sagaledger.domain.participant import Command, Participant, Refused
from sagaledger.domain.saga.retry_policy import Retry
from sagaledger.domain.saga.saga import Saga
from sagaledger.domain.saga.step import StepContext
from sagaledger.domain.saga.step_kind import LocalResult
from sagaledger.infrastructure.ledger.app import App


@event("ShelfFilled")
class ShelfFilled(Event, frozen=True):
    """Pieces were put on a shelf."""

    shelf: str
    pieces: int


@event("PiecesTaken")
class PiecesTaken(Event, frozen=True):
    """Pieces were taken from a shelf."""

    shelf: str
    pieces: int


@event("ShelfFoundShort")
class ShelfFoundShort(Event, frozen=True):
    """A command asked for more pieces than there were."""

    shelf: str
    wanted: int


class Fill(Command, frozen=True):
    """Put pieces on a shelf."""

    shelf: str
    pieces: int


class Take(Command, frozen=True):
    """Take pieces; `quietly`: a refusal records nothing."""

    shelf: str
    pieces: int
    quietly: bool = False


def _decide(pieces: int, command: Fill | Take, at: datetime) -> Sequence[Event]:
    if isinstance(command, Fill):
        return [ShelfFilled(at, command.shelf, command.pieces)]
    if command.pieces > pieces:
        events = () if command.quietly else (ShelfFoundShort(at, command.shelf, command.pieces),)
        raise Refused(f"shelf {command.shelf} has {pieces}", *events)
    return [PiecesTaken(at, command.shelf, command.pieces)]


def _evolve(pieces: int, recorded: Event) -> int:
    match recorded:
        case ShelfFilled():
            return pieces + recorded.pieces
        case PiecesTaken():
            return pieces - recorded.pieces
    return pieces


SHELF = Participant(
    "shelf",
    initial=0,
    state_type=int,
    events=(ShelfFilled, PiecesTaken, ShelfFoundShort),
    commands={Fill: lambda fill: str(fill.shelf), Take: lambda take: str(take.shelf)},
    decide=_decide,
    evolve=_evolve,
)


def filling() -> Saga[list[Fill]]:
    """A saga that fills shelves, in one step."""
    saga = Saga("filling", input=list[Fill])

    @saga.local_step(compensable=False)
    def fill(fills: list[Fill], _: StepContext) -> list[Command]:
        return list(fills)

    return saga


def taking() -> Saga[list[Take]]:
    """A saga that takes from shelves in one step, all or nothing, and checks out in another."""
    saga = Saga("taking", input=list[Take])

    @saga.local_step(retry=Retry(attempts=1))
    def take(takes: list[Take], _: StepContext) -> list[Command]:
        return list(takes)

    @take.compensation
    def put_back(takes: list[Take], done: LocalResult | None, _: StepContext) -> list[Command]:
        return [] if done is None else [Fill(take.shelf, take.pieces) for take in takes]

    @saga.local_step(compensable=False)
    def check_out(_: list[Take], __: StepContext) -> list[Command]:
        return []

    return saga


FILLING, TAKING = filling(), taking()


def goods_app() -> App:
    """Returns an app with shelves and both sagas."""
    return App(sagas=[FILLING, TAKING], participants=[SHELF])
