"""Real orders: a file of them through their sagas by the command line, beside the same events only appended.

On PostgreSQL also by one, two and four worker processes, once they are on record.
"""

from __future__ import annotations

import os
import subprocess
import sys
from contextlib import ExitStack
from decimal import Decimal
from pathlib import Path
from statistics import median
from subprocess import DEVNULL, Popen
from typing import Any

import msgspec

from sagaledger import Ledger
from sagaledger.domain.shop import Return, fulfil_order, return_goods
from sagaledger.infrastructure.event_store.connect import open_backend
from sagaledger.infrastructure.shop.app import APP
from sagaledger.infrastructure.shop.order_import import read_file, with_payment_method
from sagaledger.infrastructure.shop.run_options import RunOptions
from sagaledger.infrastructure.shop.run_orders import begin

from .databases import POSTGRES
from .findings import Findings
from .limits import append_again, recorded
from .setting import Setting

COMMAND = Path(sys.executable).with_name("sagaledger")
RUN_SECONDS_MAX = 600
WORKERS = (1, 2, 4)


def orders(setting: Setting) -> Findings:
    """Measure how many orders and returns end in a second, with every view at the head."""
    found = Findings()
    for backend in setting.backends:
        setting.say(f"{backend}: the orders of {setting.orders_file.name}")
        _beside_append(setting, backend, found)
        for workers in WORKERS if backend == POSTGRES else ():
            setting.say(f"{backend}: the same orders, placed before, by {workers} worker processes")
            url = setting.databases.fresh(backend)
            found.figures[f"orders_per_second_{backend}_{workers}_workers"] = _by_workers(
                url, setting.orders_file, workers
            )
    return found


def _by_workers(url: str, file: Path, workers: int) -> float:
    """Return how many orders and returns a second worker processes end, from the first step to the last end."""
    placed = _place(url, file)
    with ExitStack() as stack:
        command = [COMMAND, "worker", "--until-idle", "--log-level", "warning", "--app", "shop", "--db", url]
        running = [stack.enter_context(Popen(command, stderr=DEVNULL, stdout=DEVNULL)) for _ in range(workers)]
        assert [worker.wait(RUN_SECONDS_MAX) for worker in running] == [0] * workers
    log = open_backend(url)
    try:
        rows = recorded(log)
    finally:
        log.close()
    ends = sum(row.topic in ("SagaCompleted", "SagaCompensated") for row in rows)
    begun = next(row.recorded_at for row in rows if row.topic == "StepStarted")
    assert ends == placed
    return placed / (rows[-1].recorded_at - begun).total_seconds()


def _place(url: str, file: Path) -> int:
    """Record the stock, and start the sagas of all orders without driving them. Returns how many."""
    intake = read_file(file)
    with Ledger.open(url, APP, create=True) as ledger:
        begin(ledger, intake, RunOptions(7, Decimal("0.1"), None, 1, "benchmark"))
        for invoice in intake.invoices:
            returned = isinstance(invoice, Return)
            placed = invoice if returned else with_payment_method(invoice, seed=7, rate=Decimal("0.1"))
            ledger.start(return_goods if returned else fulfil_order, placed)
    return len(intake.invoices)


def _beside_append(setting: Setting, backend: str, found: Findings) -> None:
    urls = [setting.databases.fresh(backend) for _ in range(setting.sizes.rounds)]
    reports = [_run(url, setting.orders_file) for url in urls]
    log = open_backend(urls[-1])
    try:
        rows = recorded(log)
    finally:
        log.close()
    append = append_again(setting.databases.fresh(backend), rows)
    events = median(report["events"] / report["seconds"] for report in reports)
    found.figures[f"orders_per_second_{backend}"] = median(report["sagas_per_second"] for report in reports)
    found.figures[f"order_events_per_second_{backend}"] = events
    found.ratios[f"orders_vs_append_{backend}"] = events / append


def _run(url: str, file: Path) -> dict[str, Any]:
    """Make a ledger and run the file through it. Returns the report of `run`."""
    _command("init", "--db", url)
    terms = ("--decline-rate", "0.1", "--seed", "7", "--rejects", os.devnull)
    report: dict[str, Any] = msgspec.json.decode(_command("run", str(file), "--db", url, "--json", *terms))
    return report


def _command(*arguments: str) -> bytes:
    ran = subprocess.run(
        [COMMAND, *arguments], stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, check=True, timeout=RUN_SECONDS_MAX
    )
    return ran.stdout
