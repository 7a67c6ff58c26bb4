"""Real orders, real kills: whatever happens on the way, the end is the same."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from sagaledger import Ledger
from sagaledger.infrastructure.shop.app import APP
from sagaledger.infrastructure.shop.order_import import SLICE

PROGRAM = Path(sys.executable).with_name("sagaledger")
MONTH = Path(__file__).parents[3] / "shared" / "data" / "online_retail_2010-12-01_to_09.csv.gz"
EVENTS = 2_300
"""About what the slice comes to."""
KILLS = 10
VIEWS = {
    "orders": ("order_id", "status", "total_minor", "customer_id", "country"),
    "inventory": ("sku", "received", "on_hand", "reserved", "shipped", "returned"),
    "payments": ("payment_id", "status", "captured_minor", "refunded_minor"),
    "shipments": ("order_id", "status"),
    "loyalty": ("customer_id", "points"),
    "sagas": ("saga_id", "status", "events"),
}


def take_in(url: str, folder: Path, file: Path = SLICE, *more: str) -> subprocess.Popen[str]:
    """A process that takes the file in."""
    return subprocess.Popen(
        [PROGRAM, "run", file, "--db", url, "--decline-rate", "0.1", "--seed", "7", "--json", *more],
        cwd=folder,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def report(process: subprocess.Popen[str]) -> dict[str, Any]:
    """What it says at its end, which must be a good one."""
    out, err = process.communicate(timeout=110)
    assert process.returncode == 0, err
    document: dict[str, Any] = json.loads(out)
    return document


def outcomes(url: str) -> dict[str, list[tuple[Any, ...]]]:
    """What every view says in the end."""
    with Ledger.open(url, APP) as ledger:
        return {
            view: sorted(tuple(row[c] for c in columns) for row in ledger.query(view, limit=10_000).rows)
            for view, columns in VIEWS.items()
        }


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory: pytest.TempPathFactory) -> dict[str, list[tuple[Any, ...]]]:
    """What the views say after a run that nobody disturbed."""
    folder = tmp_path_factory.mktemp("undisturbed")
    url = f"sqlite:///{folder / 'ledger.db'}"
    report(take_in(url, folder))
    return outcomes(url)


@pytest.mark.timeout(300)
def test_ten_kills_on_the_way_change_nothing(
    url: str, tmp_path: Path, undisturbed: dict[str, list[tuple[Any, ...]]]
) -> None:
    """Killed at ten moments of its progress and started again each time, a run ends like an undisturbed one."""
    with Ledger.open(url, APP, create=True) as ledger:
        for kill in range(1, KILLS + 1):
            process = take_in(url, tmp_path, SLICE, "--concurrency", "8")
            while ledger.backend.wait_beyond(EVENTS * kill // (KILLS + 1), 1.0) < EVENTS * kill // (KILLS + 1):
                assert process.poll() is None, process.communicate()
            process.send_signal(signal.SIGKILL)
            process.communicate()

    final = report(take_in(url, tmp_path))

    assert final["lines_in"] == final["lines_in_orders"] + final["lines_in_returns"] + final["lines_rejected"]
    assert sum(final["sagas"].values()) == final["orders"] + final["returns"]
    assert outcomes(url) == undisturbed
    checked = subprocess.run(
        [PROGRAM, "verify", "--db", url, "--app", "shop"], capture_output=True, text=True, check=False
    )
    assert checked.returncode == 0, checked.stdout


def test_the_same_seed_gives_the_same_outcomes_on_postgresql(
    postgres_url: str, tmp_path: Path, undisturbed: dict[str, list[tuple[Any, ...]]]
) -> None:
    """The backend decides nothing."""
    Ledger.open(postgres_url, APP, create=True).close()

    report(take_in(postgres_url, tmp_path))

    assert outcomes(postgres_url) == undisturbed


@pytest.mark.skipif(not MONTH.exists(), reason="the nine days of orders are not beside this checkout; the slice is")
def test_nine_days_of_real_orders_add_up(tmp_path: Path) -> None:
    """Every line is accounted for, and money and stock are conserved."""
    url = f"sqlite:///{tmp_path / 'ledger.db'}"

    final = report(take_in(url, tmp_path, MONTH))

    assert final["lines_in"] == 22_523
    assert final["lines_in"] == final["lines_in_orders"] + final["lines_in_returns"] + final["lines_rejected"]
    views = outcomes(url)
    completed = sum(total for _, status, total, *_ in views["orders"] if status == "completed")
    returned = sum(refunded for _, _, captured, refunded in views["payments"] if captured == 0)
    kept = sum(captured - refunded for _, _, captured, refunded in views["payments"])
    assert kept == completed - returned
    assert all(
        r == on_hand + reserved + shipped - back for _, r, on_hand, reserved, shipped, back in views["inventory"]
    )
    assert {status for _, status, _ in views["sagas"]} == {"completed", "compensated"}
