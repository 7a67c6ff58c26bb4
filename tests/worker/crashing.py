"""A worker process that kills itself: `python crashing.py URL FOLDER MOMENT COUNT`.

It starts the same journeys every time and works until all of them have ended, unless it reaches the moment at which
it is killed as by `kill -9`: before its COUNT-th append is sent, after it is acknowledged, or in its COUNT-th step.
It writes the calls of steps and the acknowledged starts to files in FOLDER, which outlive it.
"""

from __future__ import annotations

import asyncio
import os
import signal
import sys
from itertools import count
from pathlib import Path
from typing import Any, NamedTuple

from sagaledger.domain.errors import StepRejected
from sagaledger.domain.event import Event, event
from sagaledger.domain.participant import Command, Participant
from sagaledger.domain.saga.retry_policy import Retry
from sagaledger.domain.saga.saga import Saga
from sagaledger.domain.saga.step import StepContext
from sagaledger.domain.saga.step_kind import LocalResult
from sagaledger.infrastructure.event_store.append_call import AppendCall, PendingAppend, Receipt
from sagaledger.infrastructure.ledger.app import App
from sagaledger.infrastructure.ledger.ledger import Ledger
from sagaledger.infrastructure.worker import Worker

JOURNEYS = 8
"""Every second one is refused at its last step, and compensates."""
AT_ONCE = Retry(attempts=10, backoff_seconds=0.0)
_calls = count(1)
_moment, _count = "", 0
_folder = Path()


@event("MilesChanged")
class MilesChanged(Event, frozen=True):
    """Miles were credited, or debited."""

    miles: int


class Credit(Command, frozen=True):
    """Credit miles, or debit them."""

    miles: int


MILES = Participant(
    "miles",
    initial=0,
    state_type=int,
    events=(MilesChanged,),
    commands={Credit: lambda _: "all"},
    decide=lambda _, command, at: [MilesChanged(at, command.miles)],
    evolve=lambda state, recorded: state + recorded.miles,  # type: ignore[attr-defined]
)

journey = Saga("journey", input=int)


def _note(file: str, line: str) -> None:
    with (_folder / file).open("a") as notes:
        notes.write(f"{line}\n")


def _act(ctx: StepContext) -> None:
    _note("calls", f"{ctx.saga_id} {ctx.step} {ctx.direction} {ctx.key}")
    if _moment == "in_step" and next(_calls) == _count:
        os.kill(os.getpid(), signal.SIGKILL)


@journey.step(retry=AT_ONCE)
async def flight(_: int, ctx: StepContext) -> str:
    _act(ctx)
    return "flight"


@flight.compensation(retry=AT_ONCE)
async def cancel_flight(_: int, __: str | None, ctx: StepContext) -> None:
    _act(ctx)


@journey.local_step(retry=AT_ONCE)
def credit(_: int, __: StepContext) -> list[Command]:
    return [Credit(100)]


@credit.compensation
def debit(_: int, done: LocalResult | None, __: StepContext) -> list[Command]:
    return [] if done is None else [Credit(-100)]


@journey.step(retry=AT_ONCE)
def hotel(_: int, ctx: StepContext) -> str:
    _act(ctx)
    return "hotel"


@hotel.compensation(retry=AT_ONCE)
def cancel_hotel(_: int, __: str | None, ctx: StepContext) -> None:
    _act(ctx)


@journey.step(retry=AT_ONCE, compensable=False)
async def board(number: int, ctx: StepContext) -> None:
    _act(ctx)
    if number % 2:
        raise StepRejected("overbooked")


APP = App(sagas=[journey], participants=[MILES])


class Deadly(NamedTuple):
    """An append under way; its process may be killed when the answer arrives."""

    sending: PendingAppend
    last: bool

    @property
    def pending(self) -> int | None:
        return self.sending.pending

    def receipt(self) -> Receipt:
        receipt = self.sending.receipt()
        if self.last and _moment == "after_append":
            os.kill(os.getpid(), signal.SIGKILL)
        return receipt


def _deadly(backend: Any) -> None:
    """Make the backend kill the process before or after the counted append."""
    send = backend.send

    def send_and_die(call: AppendCall) -> Deadly:
        last = next(_calls) == _count
        if last and _moment == "before_append":
            os.kill(os.getpid(), signal.SIGKILL)
        return Deadly(send(call), last)

    backend.send = send_and_die


async def travel(url: str) -> None:
    """Start every journey, and wait until all of them have ended."""
    with Ledger.open(url, APP, create=True) as ledger:
        if _moment != "in_step":
            _deadly(ledger.backend)
        async with Worker(ledger, project=False, lease_seconds=0.5) as worker:

            async def one(number: int) -> None:
                started = await worker.start(journey, number, key=str(number))
                _note("acknowledged", f"{started.saga_id} {started.position}")
                await worker.outcome(started.saga_id)

            async with asyncio.timeout(60), asyncio.TaskGroup() as group:
                for number in range(JOURNEYS):
                    group.create_task(one(number))


if __name__ == "__main__":
    _folder = Path(sys.argv[2])
    _moment, _count = sys.argv[3], int(sys.argv[4])
    asyncio.run(travel(sys.argv[1]))
