"""Run the benchmarks: `python -m benchmarks --help`."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from importlib.util import find_spec
from pathlib import Path
from typing import Annotated, Final, Literal

from cyclopts import App, Parameter
from msgspec.structs import replace
from rich.console import Console

from sagaledger.infrastructure.runtime.gc_tuning import tune_gc
from sagaledger.infrastructure.shop.order_import import SLICE

from .databases import POSTGRES, SQLITE, databases
from .findings import Findings, document, save
from .footprint import footprint
from .growth import growth
from .hot_articles import hot_articles
from .latency import latency
from .long_lists import long_lists
from .orders import orders
from .plot import plot as draw
from .projections import projections
from .questions import questions
from .rebuilding import rebuilding
from .report import show
from .setting import FULL, SHORT, Setting, Sizes
from .telemetry import telemetry
from .throughput import throughput
from .verifying import verifying

BENCHMARKS: Final[dict[str, Callable[[Setting], Findings]]] = {
    "throughput": throughput,
    "latency": latency,
    "projections": projections,
    "rebuilding": rebuilding,
    "growth": growth,
    "footprint": footprint,
    "orders": orders,
    "hot_articles": hot_articles,
    "long_lists": long_lists,
    "verifying": verifying,
    "questions": questions,
    "telemetry": telemetry,
}
Name = Literal[
    "throughput",
    "latency",
    "projections",
    "rebuilding",
    "growth",
    "footprint",
    "orders",
    "hot_articles",
    "long_lists",
    "verifying",
    "questions",
    "telemetry",
]
BACKENDS: Final = (SQLITE, POSTGRES)

app = App(name="python -m benchmarks", help="Benchmarks of the ledger, beside its limits and its peers.")


@app.default
def main(
    *names: Name,
    full: Annotated[bool, Parameter(negative="", help="Run the sizes of results.json; takes hours.")] = False,
    backend: Annotated[Literal["sqlite", "postgres"] | None, Parameter(help="Run only this backend.")] = None,
    rounds: Annotated[int | None, Parameter(help="How often each contender runs.")] = None,
    sagas: Annotated[int | None, Parameter(help="Sagas of a round, at 64 and 512 at once.")] = None,
    dbos_sagas: Annotated[int | None, Parameter(help="Sagas of a round of DBOS.")] = None,
    events: Annotated[
        int | None, Parameter(help="Events that views catch up on, that are verified, and asked about.")
    ] = None,
    rebuilt_sagas: Annotated[int | None, Parameter(help="Sagas whose state is rebuilt.")] = None,
    growth_events: Annotated[
        list[int] | None, Parameter(negative="", help="A size of the log to grow to; may be given many times.")
    ] = None,
    running_sagas: Annotated[int | None, Parameter(help="Sagas that run in a worker whose memory is measured.")] = None,
    waiting_sagas: Annotated[int | None, Parameter(help="Sagas that wait meanwhile.")] = None,
    file: Annotated[Path, Parameter(help="Real orders: UCI Online Retail.")] = SLICE,
    postgres: Annotated[str | None, Parameter(help="A PostgreSQL server to use [default: one from a wheel].")] = None,
    folder: Annotated[Path | None, Parameter(help="Where to make SQLite files: on the disk to measure.")] = None,
    dbos: Annotated[bool, Parameter(help="Measure the peer DBOS, if it is installed.")] = True,
    save_results: Annotated[
        bool, Parameter(name="--save", negative="", help="Keep the run in benchmarks/results.json.")
    ] = False,
    plot: Annotated[Path | None, Parameter(help="Draw the ratios into this SVG file.")] = None,
) -> None:
    """Run all benchmarks, or those that are named. Takes under ten minutes unless --full."""
    told = Console(stderr=True, highlight=False)
    changes = {
        "rounds": rounds,
        "sagas_at_once": sagas,
        "dbos_sagas": dbos_sagas,
        "projected_events": events,
        "verified_events": events,
        "asked_events": events,
        "rebuilt_sagas": rebuilt_sagas,
        "running_sagas": running_sagas,
        "waiting_sagas": waiting_sagas,
        "growth_events": tuple(sorted(growth_events)) if growth_events else None,
    }
    with databases(folder, postgres) as made:
        setting = Setting(
            databases=made,
            backends=(backend,) if backend else BACKENDS,
            sizes=_sizes(FULL if full else SHORT, changes),
            orders_file=file,
            with_dbos=dbos and find_spec("dbos") is not None,
            say=told.print,
        )
        found = document(run(setting, names), made.postgres_version())
    show(found, Console(highlight=False))
    if save_results:
        save(found)
    if plot is not None:
        draw(found, plot)


def run(setting: Setting, names: Sequence[str] = ()) -> list[Findings]:
    """Run benchmarks one after the other, all of them if none is named. Returns the findings of each."""
    return [BENCHMARKS[name](setting) for name in names or BENCHMARKS]


def _sizes(sizes: Sizes, changes: Mapping[str, object]) -> Sizes:
    return replace(sizes, **{name: value for name, value in changes.items() if value is not None})


if __name__ == "__main__":
    tune_gc()  # as the command line does for a worker
    app()
