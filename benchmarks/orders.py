"""Real orders: a file of them through their sagas by the command line, beside the same events only appended."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from statistics import median
from typing import Any

import msgspec

from sagaledger.infrastructure.log.open import open_backend

from .findings import Findings
from .limits import append_again, recorded
from .setting import Setting

COMMAND = Path(sys.executable).with_name("sagaledger")
RUN_SECONDS_MAX = 600


def orders(setting: Setting) -> Findings:
    """How many orders and returns a second come to their ends, with every view at the head."""
    found = Findings()
    for backend in setting.backends:
        setting.say(f"{backend}: the orders of {setting.orders_file.name}")
        _beside_append(setting, backend, found)
    return found


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
    """Make a ledger and take the file in; gives the report of `run`."""
    _command("init", "--db", url)
    terms = ("--decline-rate", "0.1", "--seed", "7", "--rejects", os.devnull)
    report: dict[str, Any] = msgspec.json.decode(_command("run", str(file), "--db", url, "--json", *terms))
    return report


def _command(*arguments: str) -> bytes:
    ran = subprocess.run(
        [COMMAND, *arguments], stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, check=True, timeout=RUN_SECONDS_MAX
    )
    return ran.stdout
