"""The sagas that are measured: four steps that do nothing, and count as calls of services.

Each step is started durably, then run, then recorded. So a saga of four steps is five transitions and ten events.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Iterator
from time import perf_counter
from typing import TYPE_CHECKING, Any, NamedTuple

from msgspec import Struct

from sagaledger import App, Ledger, Saga, StepContext, Worker
from sagaledger.infrastructure.runtime.event_loop import run_async

if TYPE_CHECKING:
    from sagaledger import Telemetry

WARM_UP_SAGAS = 32
STEPS = ("reserve", "charge", "ship", "award")


class Errand(Struct, frozen=True):
    """The input of a saga."""

    errand_id: str
    amount_minor: int = 1999


four_steps = Saga("four_steps", version=1, input=Errand, key=lambda errand: errand.errand_id)


def _add(name: str) -> None:
    @four_steps.step(name=name)
    async def do(errand: Errand, ctx: StepContext) -> None:
        """Do nothing, as a call of a service."""

    @do.compensation
    async def undo(errand: Errand, result: None, ctx: StepContext) -> None:
        """Undo nothing: no step fails here."""


for _name in STEPS:
    _add(_name)

APP = App(sagas=[four_steps])


class Drive(NamedTuple):
    """Sagas that were driven from start to end."""

    seconds: float
    waits_seconds: list[float]
    """The seconds of each, from the call that starts it to the message that it has ended."""

    @property
    def sagas_per_second(self) -> float:
        """Return how many ended in a second."""
        return len(self.waits_seconds) / self.seconds


def drive(
    url: str,
    sagas: int,
    at_once: int,
    *,
    name: str = "errand",
    warm_up: bool = True,
    project: bool = False,
    sagas_per_second: float | None = None,
    observer: Telemetry | None = None,
) -> Drive:
    """Run sagas in an empty database, at most so many at once, with a worker in this process.

    `name`: the beginning of their keys.
    `warm_up`: run some before the clock starts.
    `project`: keep the views up meanwhile.
    `sagas_per_second`: start no more than that, to measure a machine that is not at its limit.
    `observer`: what counts and traces them.
    """

    async def run() -> Drive:
        with Ledger.open(url, APP, create=True, observer=observer) as ledger:
            async with Worker(ledger, project=project) as worker:
                if warm_up:
                    await see_through(worker, errands("warm", WARM_UP_SAGAS), min(at_once, WARM_UP_SAGAS))
                return await see_through(worker, errands(name, sagas), at_once, sagas_per_second)

    return run_async(run())


def catch_up(ledger: Ledger) -> None:
    """Bring every view to the head of the log."""
    projector = ledger.projector()
    try:
        projector.catch_up()
    finally:
        projector.stop()


async def see_through(
    worker: Worker,
    openings: Iterable[tuple[Saga[Any], Any]],
    at_once: int,
    sagas_per_second: float | None = None,
) -> Drive:
    """Start sagas with these inputs, in order and so many at once, and wait for the end of each."""
    numbered = enumerate(openings)
    waits_seconds: list[float] = []
    begun = perf_counter()

    async def lane() -> None:
        for number, (saga, value) in numbered:
            if sagas_per_second is not None:
                await asyncio.sleep(begun + number / sagas_per_second - perf_counter())
            asked = perf_counter()
            started = await worker.start(saga, value)
            await worker.outcome(started.saga_id)
            waits_seconds.append(perf_counter() - asked)

    await asyncio.gather(*(lane() for _ in range(at_once)))
    return Drive(perf_counter() - begun, waits_seconds)


def errands(name: str, number: int) -> Iterator[tuple[Saga[Any], Errand]]:
    """Return this many errands, whose ids begin with a name."""
    return ((four_steps, Errand(f"{name}-{count}")) for count in range(number))
