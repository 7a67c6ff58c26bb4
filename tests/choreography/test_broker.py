"""Services in processes of their own, over a real NATS server that is killed, wiped and sent malformed messages."""

from __future__ import annotations

import asyncio
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from nats.aio.client import Client

from sagaledger.infrastructure.choreography.nats.connection import stream_of
from sagaledger.infrastructure.ledger.ledger import Ledger
from sagaledger.infrastructure.shop.app import APP
from sagaledger.infrastructure.shop.order_import import SLICE

from .conftest import Shop, order
from .processes import PROGRAM, Nats, ServiceProcess, until

KILLED_AT_FAILPOINT = Path(__file__).with_name("killed_at_failpoint.py")
NAMES = ("relay", "order", "inventory", "payment", "shipping", "loyalty")


class DistributedShop:
    """A shop whose services are processes, and the broker between them."""

    def __init__(self, shop: Shop, nats: Nats) -> None:
        self.shop = shop
        self.nats = nats
        self.processes: dict[str, ServiceProcess] = {}

    def start_all(self) -> None:
        """Start the relay and every service."""
        for name in NAMES:
            self.start(name)

    def start(self, name: str) -> None:
        """Start the relay or a service."""
        self.processes[name] = ServiceProcess(name, self.shop.ledger.backend.url, self.nats.url)

    def start_killed_at(self, name: str, failpoint: str, moment: str) -> ServiceProcess:
        """Start the relay or a service, which is killed just before or after that failpoint."""
        program = [sys.executable, KILLED_AT_FAILPOINT, failpoint, moment]
        self.processes[name] = ServiceProcess(name, self.shop.ledger.backend.url, self.nats.url, program)
        return self.processes[name]

    def stop(self) -> None:
        """Stop every process."""
        for process in self.processes.values():
            process.stop()

    def ended(self) -> int:
        """Returns how many sagas have ended."""
        self.shop.follow()
        return sum(row["ended_at"] is not None for row in self.shop.ledger.query("sagas", limit=1_000).rows)


@pytest.fixture
def distributed(sqlite_shop: Shop, nats: Nats) -> Iterator[DistributedShop]:
    """A shop whose services can be started."""
    distributed = DistributedShop(sqlite_shop, nats)
    yield distributed
    distributed.stop()


def _require_consistent(distributed: DistributedShop, orders: int) -> None:
    ledger = distributed.shop.ledger
    assert {row["status"] for row in ledger.query("sagas", limit=1_000).rows} == {"completed", "compensated"}
    assert ledger.query("findings").rows == []
    assert ledger.query("dead_letters").rows == []
    completed = [row for row in ledger.query("orders", limit=1_000).rows if row["status"] == "completed"]
    captured = sum(row["captured_minor"] - row["refunded_minor"] for row in ledger.query("payments", limit=1_000).rows)
    assert captured == sum(row["total_minor"] for row in completed)
    assert len(completed) == orders - orders // 5
    [stock] = ledger.query("inventory", where={"sku": "sku1"}).rows
    assert (stock["on_hand"], stock["reserved"], stock["shipped"]) == (100 - len(completed), 0, len(completed))


def test_orders_survive_kills_of_services_and_a_broker_that_lost_everything(distributed: DistributedShop) -> None:
    """Services that were killed go on where the log ends, and the relay sends again what the broker lost."""
    orders = 40
    distributed.shop.place(*(order(str(n), ("sku1", 1), declined=n % 5 == 0) for n in range(orders // 2)))
    distributed.start_all()
    until(lambda: distributed.ended() >= 3)
    for name in ("payment", "inventory"):
        distributed.processes[name].kill()
    distributed.nats.kill()
    distributed.shop.place(*(order(str(n), ("sku1", 1), declined=n % 5 == 0) for n in range(orders // 2, orders)))
    distributed.nats.start(wiped=True)
    for name in ("payment", "inventory"):
        distributed.start(name)

    until(lambda: distributed.ended() == orders)

    _require_consistent(distributed, orders)


def test_a_kill_at_any_call_to_the_broker_changes_no_outcome(distributed: DistributedShop) -> None:
    """The relay and a service are killed right before and right after they connect, send and acknowledge."""
    orders = 5
    distributed.shop.place(*(order(str(n), ("sku1", 1), declined=n % 5 == 0) for n in range(orders)))
    for name in NAMES:
        if name not in ("relay", "order"):
            distributed.start(name)

    for failpoint in ("nats connect", "nats stream", "nats publish"):
        assert all(
            distributed.start_killed_at("relay", failpoint, moment).was_killed() for moment in ("before", "after")
        )
    distributed.start("relay")
    for failpoint in ("nats connect", "nats ack"):
        assert all(
            distributed.start_killed_at("order", failpoint, moment).was_killed() for moment in ("before", "after")
        )
    distributed.start("order")

    until(lambda: distributed.ended() == orders)
    _require_consistent(distributed, orders)


def test_malformed_messages_are_rejected_and_delay_no_process(distributed: DistributedShop) -> None:
    """They record nothing, and they are not delivered again."""
    distributed.shop.place(order("1"))
    distributed.start_all()
    until(lambda: distributed.ended() == 1)
    stream = stream_of(distributed.shop.ledger.context)

    async def publish() -> None:
        async with Client() as client:
            await client.connect(distributed.nats.url)
            forged = {"ce-specversion": "1.0", "ce-id": f"{stream}:1", "ce-source": f"/sagaledger/{stream}"}
            for headers in ({}, forged, {**forged, "ce-type": "x", "ce-subject": "y", "ce-position": "1"}):
                await client.jetstream().publish(f"{stream}.order_flow.OrderCreated", b"not json", headers=headers)

    head = distributed.shop.ledger.backend.head().position
    asyncio.run(publish())
    distributed.shop.place(order("2"))

    until(lambda: distributed.ended() == 2)
    assert distributed.shop.topics("order_flow-2") == distributed.shop.topics("order_flow-1")
    assert distributed.shop.ledger.backend.head().position == head + len(distributed.shop.topics("order_flow-2"))


@pytest.mark.parametrize("named_by", ["option", "environment"])
def test_a_broker_that_is_down_at_the_start_is_an_error(tmp_path: Path, named_by: str) -> None:
    """The exit code is 5, and the message says what to do."""
    url = f"sqlite:///{tmp_path / 'ledger.db'}"
    broker = "nats://127.0.0.1:1"
    command = [PROGRAM, "run", str(SLICE), "--style", "choreography", "--db", url]
    options, environment = (
        ([], {"SAGALEDGER_BROKER": broker}) if named_by == "environment" else (["--broker", broker], {})
    )

    down = subprocess.run(
        [*command, *options],
        cwd=tmp_path,
        env=os.environ | environment,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )

    assert down.returncode == 5
    assert f"{broker} cannot be used: start nats-server" in down.stderr
    assert "Traceback" not in down.stderr


def test_a_broker_without_its_extra_is_an_error_that_names_it(tmp_path: Path) -> None:
    """Everything else works without the extra."""
    program = "import sys; sys.modules['nats'] = None; from sagaledger.infrastructure.cli.main import main; main()"
    url = f"sqlite:///{tmp_path / 'ledger.db'}"
    command = ("participants", "relay", "--app", "shop", "--broker", "nats://127.0.0.1:1", "--db", url)

    missing = subprocess.run(
        [sys.executable, "-c", program, *command], cwd=tmp_path, capture_output=True, text=True, timeout=60, check=False
    )

    assert missing.returncode == 5, missing.stderr
    assert "pip install 'sagaledger[broker]'" in missing.stderr
    assert "Traceback" not in missing.stderr


def test_a_file_goes_through_five_processes(tmp_path: Path, nats: Nats) -> None:
    """One command starts them all, and the outcomes are those of any other run."""
    url = f"sqlite:///{tmp_path / 'ledger.db'}"
    command = ["run", str(SLICE), "--style", "choreography", "--seed", "7", "--decline-rate", "0.1", "--db", url]

    done = subprocess.run(
        [PROGRAM, *command, "--broker", nats.url],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        timeout=100,
        check=False,
    )

    assert done.returncode == 0, done.stderr
    with Ledger.open(url, APP) as ledger:
        statuses = [row["status"] for row in ledger.query("sagas", limit=1_000).rows]
        assert (statuses.count("completed"), statuses.count("compensated")) == (89, 11)
        assert ledger.query("findings").rows == ledger.query("dead_letters").rows == []
