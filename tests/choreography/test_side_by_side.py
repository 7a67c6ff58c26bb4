"""Both styles, run on the same real orders, leave the same outcomes, sums and rows."""

from __future__ import annotations

import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from sagaledger.infrastructure.event_store.verify import verify
from sagaledger.infrastructure.ledger.ledger import Ledger
from sagaledger.infrastructure.read_models.drift import drift
from sagaledger.infrastructure.shop.app import APP
from sagaledger.infrastructure.shop.order_import import SLICE

from .processes import PROGRAM

STYLES = ("orchestration", "choreography")
VIEWS = {
    "orders": ("saga_id", "closed_at", "reason"),
    "inventory": (),
    "payments": ("updated_at",),
    "shipments": ("prepared_at", "cancelled_at"),
    "loyalty": ("updated_at",),
}
"""The columns that differ by nature, by view: they name the process, or a time."""


@pytest.fixture(scope="module")
def ledgers(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str, str], Ledger]:
    """Ledgers with the bundled orders, by style and opening stock."""
    folder = tmp_path_factory.mktemp("styles")
    opened: dict[tuple[str, str], Ledger] = {}

    def ledger(style: str, opening_stock: str) -> Ledger:
        if (style, opening_stock) not in opened:
            url = f"sqlite:///{folder / f'{style}{opening_stock}.db'}"
            _run(folder, style, url, opening_stock)
            opened[style, opening_stock] = Ledger.open(url, APP)
        return opened[style, opening_stock]

    yield ledger
    for each in opened.values():
        each.close()


def _run(folder: Path, style: str, url: str, opening_stock: str) -> None:
    command = ["run", str(SLICE), "--style", style, "--seed", "7", "--decline-rate", "0.1", "--db", url]
    if opening_stock != "as needed":
        command += ["--opening-stock", opening_stock]
    subprocess.run([PROGRAM, *command], cwd=folder, check=True, capture_output=True, timeout=100)


def _rows(ledger: Ledger, view: str) -> list[dict[str, Any]]:
    left_out = VIEWS[view]
    rows = ledger.query(view, limit=5_000).rows
    return [{name: value for name, value in row.items() if name not in left_out} for row in rows]


@pytest.mark.parametrize("view", VIEWS)
def test_both_styles_leave_the_same_rows(ledgers: Callable[[str, str], Ledger], view: str) -> None:
    """The same seed gives the same outcomes, with a coordinator as without one."""
    orchestrated, choreographed = (_rows(ledgers(style, "as needed"), view) for style in STYLES)

    assert orchestrated == choreographed
    assert orchestrated


def test_both_styles_end_the_same_sagas_the_same_way(ledgers: Callable[[str, str], Ledger]) -> None:
    """The sagas are compared by the key of their order."""
    ended = [
        {
            row["saga_id"].partition("-")[2]: row["status"]
            for row in ledgers(style, "as needed").query("sagas", limit=5_000).rows
        }
        for style in STYLES
    ]

    assert ended[0] == ended[1]
    assert set(ended[0].values()) == {"completed", "compensated"}


@pytest.mark.parametrize("style", STYLES)
def test_states_read_in_bulk_equal_the_view(ledgers: Callable[[str, str], Ledger], style: str) -> None:
    """The states of choreographed sagas are derived, the others rebuilt."""
    ledger = ledgers(style, "as needed")
    shown = {row["saga_id"]: row["status"] for row in ledger.query("sagas", limit=5_000).rows}

    assert {state.saga_id: str(state.status) for state in ledger.states(shown)} == shown


@pytest.mark.parametrize("opening_stock", ["as needed", "20"])
def test_money_and_goods_are_conserved(ledgers: Callable[[str, str], Ledger], opening_stock: str) -> None:
    """That holds for scarce stock too, where the outcome depends on the order of reservations."""
    ledger = ledgers("choreography", opening_stock)

    orders = ledger.query("orders", limit=5_000).rows
    payments = ledger.query("payments", limit=5_000).rows
    returned = sum(row["refunded_minor"] for row in payments if row["captured_minor"] == 0)

    completed = sum(row["total_minor"] for row in orders if row["status"] == "completed")
    assert sum(row["captured_minor"] - row["refunded_minor"] for row in payments) == completed - returned
    assert {row["status"] for row in orders} == {"completed", "cancelled"}
    for row in ledger.query("inventory", limit=5_000).rows:
        assert row["received"] == row["on_hand"] + row["reserved"] + row["shipped"] - row["returned"]
        assert row["on_hand"] >= 0
        assert row["reserved"] == 0


def test_a_choreographed_ledger_verifies(ledgers: Callable[[str, str], Ledger]) -> None:
    """The log is intact, each view equals its events, and no process has findings."""
    ledger = ledgers("choreography", "as needed")

    assert verify(ledger.backend).ok
    for projection in APP.projections:
        assert drift(ledger.context.queries, ledger.backend, ledger.context.codec, projection.name).count == 0
    assert ledger.query("findings").rows == []
    assert ledger.query("dead_letters").rows == []


def test_both_styles_live_in_one_ledger(tmp_path: Path) -> None:
    """An order that one style created is refused to the other, and nothing is recorded."""
    url = f"sqlite:///{tmp_path / 'both.db'}"
    _run(tmp_path, "orchestration", url, "as needed")
    with Ledger.open(url, APP) as ledger:
        before = ledger.backend.head().position

    taken_again = subprocess.run(
        [PROGRAM, "run", str(SLICE), "--style", "choreography", "--seed", "7", "--decline-rate", "0.1", "--db", url],
        cwd=tmp_path,
        check=False,
        capture_output=True,
        text=True,
        timeout=100,
    )

    assert taken_again.returncode == 4
    assert taken_again.stdout.count("another process began with it") == 100  # each invoice, with its reason
    with Ledger.open(url, APP) as ledger:
        assert ledger.backend.head().position == before
