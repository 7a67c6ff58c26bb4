"""What runs in the crash tests: one saga of each fate, beside the shop's; and a service that keeps its own books."""

from __future__ import annotations

from pathlib import Path

from sagaledger.domain.errors import StepRejected
from sagaledger.domain.saga.retry_policy import Retry
from sagaledger.domain.saga.saga import Saga
from sagaledger.domain.saga.step import StepContext
from sagaledger.domain.shop import PARTICIPANTS, SAGAS
from sagaledger.infrastructure.ledger.app import App
from sagaledger.projections.shop import SHOP_PROJECTIONS

AT_ONCE = Retry(attempts=6, backoff_seconds=0.0)
ONCE = Retry(attempts=1)


class Harbour:
    """A called service whose books are files: it does each thing once for each key."""

    def __init__(self, folder: Path) -> None:
        self._books = folder / "books"
        self._repaired = folder / "repaired"

    def enter(self, what: str, key: str) -> str:
        """Do it, unless it was done under this key."""
        line = f"{key} {what}"
        if line not in self.books:
            with self._books.open("a") as books:
                books.write(f"{line}\n")
        return what

    @property
    def books(self) -> list[str]:
        """What it did: a key and a thing each."""
        return self._books.read_text().splitlines() if self._books.exists() else []

    @property
    def works(self) -> bool:
        """Whether cabins can be given back."""
        return self._repaired.exists()

    def repair(self) -> None:
        """From now on they can."""
        self._repaired.touch()


def app_with(harbour: Harbour) -> App:
    """The shop, and voyages: `refused` ones turn back at the end, `stuck` ones cannot even do that without a person."""
    voyage = Saga("voyage", input=str, key=lambda fate: fate)

    @voyage.step(retry=AT_ONCE)
    async def cabin(fate: str, ctx: StepContext) -> str:
        return harbour.enter(f"cabin {fate}", ctx.key)

    @cabin.compensation(retry=ONCE)
    async def return_cabin(fate: str, _: str | None, ctx: StepContext) -> None:
        if fate == "stuck" and not harbour.works:
            raise RuntimeError("the office is closed")
        harbour.enter(f"no cabin {fate}", ctx.key)

    @voyage.for_each(items=lambda _, __: ["tea", "silk"], parallel=1, retry=AT_ONCE)
    async def load(crate: str, ctx: StepContext) -> str:
        return harbour.enter(f"{crate} {ctx.input}", ctx.key)

    @load.compensation(retry=AT_ONCE)
    async def unload(crate: str, _: str | None, ctx: StepContext) -> None:
        harbour.enter(f"no {crate} {ctx.input}", ctx.key)

    @voyage.step(retry=AT_ONCE, when=lambda fate, _: fate != "smooth")
    async def pilot(fate: str, ctx: StepContext) -> str:
        return harbour.enter(f"pilot {fate}", ctx.key)

    @pilot.compensation(retry=AT_ONCE)
    async def no_pilot(fate: str, _: str | None, ctx: StepContext) -> None:
        harbour.enter(f"no pilot {fate}", ctx.key)

    voyage.sleep("night", seconds=0.2)
    voyage.wait_for("weather", timeout=600.0)

    @voyage.step(retry=AT_ONCE)
    async def tug(fate: str, ctx: StepContext) -> str:
        return harbour.enter(f"tug {fate}", ctx.key)

    @tug.compensation(retry=AT_ONCE)
    async def no_tug(fate: str, _: str | None, ctx: StepContext) -> None:
        harbour.enter(f"no tug {fate}", ctx.key)

    @voyage.step(retry=AT_ONCE, compensable=False)
    async def depart(fate: str, ctx: StepContext) -> str:
        if fate != "smooth":
            raise StepRejected("storm")
        return harbour.enter(f"departure {fate}", ctx.key)

    return App(sagas=[*SAGAS, voyage], participants=PARTICIPANTS, projections=SHOP_PROJECTIONS)
