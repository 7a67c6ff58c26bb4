"""Long lists: one saga with very many items, beside sagas with a tenth of them; every item is made and undone."""

from __future__ import annotations

from functools import partial
from time import perf_counter
from uuid import uuid4

from sagaledger import App, Ledger, Saga, StepContext, StepRejected, Worker
from sagaledger.infrastructure.runtime.event_loop import run_async

from .findings import Findings
from .measuring import in_turn
from .setting import Setting

PARALLEL = 50
SHORTER = 10
"""How many times longer the long list is."""

trip = Saga("long_list", input=int)


@trip.for_each(items=lambda count, _: range(count), parallel=PARALLEL)
async def book(number: int, _: StepContext) -> int:
    """Cost next to nothing, so that the engine is what is measured."""
    return number


@book.compensation
async def unbook(_: int, __: int | None, ___: StepContext) -> None:
    """Cost next to nothing."""


@trip.step(compensable=False)
async def refuse(_: int, __: StepContext) -> None:
    """Turn the saga back, once every item was made."""
    raise StepRejected("every item is undone")


def long_lists(setting: Setting) -> Findings:
    """Measure whether an item costs the same however many there are."""
    found = Findings()
    items = setting.sizes.list_items
    for backend in setting.backends:
        setting.say(f"{backend}: one saga with {items:,} items, and sagas with {items // SHORTER:,}, all undone")
        contenders = {
            "long": partial(_items_per_second, setting, backend, items),
            "short": partial(_items_per_second, setting, backend, items // SHORTER),
        }
        rounds = in_turn(contenders, setting.sizes.rounds)
        for name in rounds:
            found.figures[f"items_per_second_{backend}_{name}_lists"] = rounds.median(name)
        found.ratios[f"long_vs_short_lists_{backend}"] = rounds.ratio("long", "short")
    return found


def _items_per_second(setting: Setting, backend: str, items: int) -> float:
    """Make and undo as many items as the long list has, in lists of this length, one saga after the other."""
    sagas = setting.sizes.list_items // items

    async def run() -> float:
        with Ledger.open(setting.databases.fresh(backend), App(sagas=[trip]), create=True) as ledger:
            async with Worker(ledger, project=False) as worker:
                begun = perf_counter()
                for _ in range(sagas):
                    started = await worker.start(trip, items, key=uuid4().hex)
                    await worker.outcome(started.saga_id)
                return sagas * items / (perf_counter() - begun)

    return run_async(run())
