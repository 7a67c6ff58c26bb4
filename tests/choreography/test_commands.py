"""The command line on choreographed sagas."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from sagaledger.domain.shop import PaymentSucceeded
from sagaledger.infrastructure.event_store.append_call import Append
from sagaledger.infrastructure.ledger.ledger import Ledger
from sagaledger.infrastructure.ledger.transact import call_of
from sagaledger.infrastructure.shop.app import APP

from ..cli.shell import Shell
from .conftest import Shop, order
from .processes import PROGRAM

Command = Callable[..., subprocess.CompletedProcess[str]]
LONG_AGO = datetime.now(UTC) - timedelta(hours=1)


@pytest.fixture
def sagaledger(sqlite_url: str, tmp_path: Path) -> Command:
    """Runs a command on the ledger, with the shop's app."""

    shell = Shell(tmp_path)
    return lambda *arguments: shell(*arguments, "--db", sqlite_url, "--app", "shop")


def _json(done: subprocess.CompletedProcess[str]) -> dict[str, Any]:
    assert done.returncode == 0, done.stderr
    document: dict[str, Any] = json.loads(done.stdout)
    return document


@pytest.fixture
def two_orders(sqlite_url: str) -> None:
    """A ledger with one order that was completed and one that was cancelled."""
    with Ledger.open(sqlite_url, APP) as ledger:
        shop = Shop(ledger)
        shop.stock(sku1=10)
        shop.place(order("1"), order("2", declined=True))
        shop.drain()


@pytest.fixture
def silent_order(sqlite_url: str) -> None:
    """A ledger with an order that was paid out of turn an hour ago, and has no event since."""
    with Ledger.open(sqlite_url, APP, create=True) as ledger:
        shop = Shop(ledger)
        shop.place(order("1"))
        [row] = ledger.backend.correlated("order_flow-1")
        paid = PaymentSucceeded(LONG_AGO, "1", "1", "c1", 500, "GBP")
        new = ledger.context.codec.encode(
            "payment-1", 1, paid, correlation_id="order_flow-1", causation_position=row.position
        )
        ledger.backend.append(call_of([Append([new])]))


@pytest.mark.usefixtures("two_orders")
def test_every_question_about_a_saga_works_on_a_choreographed_one(sagaledger: Command) -> None:
    """It is listed, shown, rebuilt and compared like an orchestrated one."""
    listed = _json(sagaledger("list", "--definition", "order_flow", "--status", "compensated", "--json"))
    shown = _json(sagaledger("show", "order_flow-2", "--json"))
    history = _json(sagaledger("history", "order_flow-2", "--json"))
    early = _json(sagaledger("state", "order_flow-2", "--at", "v2", "--json"))
    diff = _json(sagaledger("diff", "order_flow-2", "v2", "v8", "--json"))
    verified = _json(sagaledger("verify", "--json"))

    assert [row["saga_id"] for row in listed["sagas"]] == ["order_flow-2"]
    assert (shown["style"], shown["status"], shown["choreography"]["findings"]) == ("choreographed", "compensated", [])
    assert {event["event"] for event in history["events"]} >= {
        "OrderCreated",
        "SagaStarted",
        "PaymentFailed",
        "StepFailed",
    }
    assert (early["status"], early["version"]) == ("running", 2)
    assert (diff["a"]["status"], diff["b"]["status"], len(diff["events"])) == ("running", "compensated", 6)
    assert verified["ok"]


@pytest.mark.usefixtures("two_orders")
def test_participants_are_listed_with_their_positions(sagaledger: Command) -> None:
    """Each service is at the head, and no event waits."""
    answer = _json(sagaledger("participants", "--json"))

    assert [row["participant"] for row in answer["participants"]] == [
        "order",
        "inventory",
        "payment",
        "shipping",
        "loyalty",
    ]
    assert {(row["position"], row["parked"]) for row in answer["participants"]} == {(answer["head_position"], 0)}


@pytest.mark.usefixtures("silent_order")
def test_a_stalled_saga_is_shown_with_the_service_that_it_waits_for(sagaledger: Command) -> None:
    """The payment that came before its turn is a finding."""
    shown = sagaledger("show", "order_flow-1")
    stalled = _json(sagaledger("list", "--stalled", "--json"))

    assert "reserve_inventory, which service inventory owes" in shown.stdout
    assert "STALLED" in shown.stdout
    assert "PaymentSucceeded at position 2 came before its turn" in shown.stdout
    assert [row["saga_id"] for row in stalled["sagas"]] == ["order_flow-1"]
    assert stalled["sagas"][0]["findings"] == 1


@pytest.mark.usefixtures("silent_order")
def test_a_ledger_with_findings_verifies_and_keeps_them_through_a_rebuild(sagaledger: Command) -> None:
    """A finding is no damage to the log, and a rebuilt view has the same findings."""
    assert sagaledger("projections", "rebuild", "findings").returncode == 0

    verified = _json(sagaledger("verify", "--json"))
    listed = sagaledger("list")

    assert verified["ok"], verified["problems"]
    assert len(_json(sagaledger("query", "findings", "--json"))["rows"]) == 1
    assert "findings" in listed.stdout


@pytest.mark.usefixtures("silent_order")
def test_a_stalled_order_is_cancelled_by_a_person(sagaledger: Command, sqlite_url: str) -> None:
    """The actor and the reason are on record; `show` offers the command as long as it is possible."""
    offered = sagaledger("show", "order_flow-1")
    cancelled = sagaledger("cancel", "order_flow-1", "--reason", "the customer called", "--actor", "ann")
    twice = sagaledger("cancel", "order_flow-1", "--reason", "and again")
    with Ledger.open(sqlite_url, APP) as ledger:
        Shop(ledger).drain()
    shown = sagaledger("show", "order_flow-1")

    assert "cancel order_flow-1 --reason WHY" in offered.stdout
    assert (cancelled.returncode, "participants run" in cancelled.stderr) == (0, True)
    assert (twice.returncode, "already turning back" in twice.stderr) == (4, True)
    assert "order_flow-1  compensated" in shown.stdout
    assert "by ann: the customer called" in shown.stdout
    assert "cancel order_flow-1" not in shown.stdout


@pytest.mark.usefixtures("silent_order")
def test_parked_events_are_listed_and_replayed(sagaledger: Command, sqlite_url: str) -> None:
    """A payment about another order is parked for the shipping service, until a person replays it."""
    with Ledger.open(sqlite_url, APP) as ledger:
        wrong = PaymentSucceeded(LONG_AGO, "9", "9", "c1", 500, "GBP")
        new = ledger.context.codec.encode("payment-9", 1, wrong, correlation_id="order_flow-1")
        ledger.backend.append(call_of([Append([new])]))
        Shop(ledger).drain()

    listed = _json(sagaledger("deadletters", "list", "--json"))
    [dead_letter] = [row for row in listed["letters"] if row["status"] == "parked"]
    replayed = sagaledger(
        "deadletters", "replay", dead_letter["service"], str(dead_letter["position"]), "--reason", "try again"
    )
    again = sagaledger(
        "deadletters", "replay", dead_letter["service"], str(dead_letter["position"]), "--reason", "and again"
    )

    assert dead_letter["service"] == "shipping"
    assert "is about '9'" in dead_letter["error"]
    assert replayed.returncode == 0, replayed.stderr
    assert again.returncode == 4
    assert "not parked" in again.stderr


@pytest.mark.parametrize(
    ("command", "code", "message"),
    [
        (("participants", "run", "nobody"), 3, "no service 'nobody'"),
        (("participants", "run", "--broker", "http://x"), 5, "names no NATS server"),
        (("participants", "run", "payment", "--broker", "nats://127.0.0.1:1"), 5, "cannot be used"),
        (("participants", "relay", "--broker", "nats://127.0.0.1:1"), 5, "cannot be used"),
        (("run", "x.csv", "--broker", "nats://x"), 2, "--style choreography"),
        (("deadletters", "replay", "payment", "0", "--reason", "x"), 2, "the log begins with 1"),
        (("deadletters", "replay", "payment", "99", "--reason", "x"), 4, "not parked"),
        (("cancel", "order_flow-2", "--reason", "x"), 4, "it is compensated"),
        (("intervene", "retry", "order_flow-2", "--reason", "x"), 4, "choreographed"),
    ],
)
@pytest.mark.usefixtures("two_orders")
def test_a_command_that_fails_says_so_in_one_line(
    sagaledger: Command, command: tuple[str, ...], code: int, message: str
) -> None:
    """Its exit code says which kind of failure it is."""
    done = sagaledger(*command)

    assert (done.returncode, message in done.stderr) == (code, True), done.stderr
    assert len([line for line in done.stderr.splitlines() if line.startswith("sagaledger:")]) == 1
    assert "Traceback" not in done.stderr


def test_the_demo_shows_a_choreographed_order_undone(tmp_path: Path) -> None:
    """The commands that it prints work."""
    demo = [PROGRAM, "demo", "--style", "choreography", "--json"]
    done = subprocess.run(demo, cwd=tmp_path, capture_output=True, text=True, timeout=100, check=False)
    document = _json(done)

    assert document["cancelled"].startswith("order_flow-")
    for command in (line for line in document["commands"] if line.split()[1] in ("show", "participants", "verify")):
        shown = subprocess.run(
            ["bash", "-c", command], cwd=tmp_path, capture_output=True, text=True, timeout=60, check=False
        )
        assert shown.returncode == 0, (command, shown.stderr)
