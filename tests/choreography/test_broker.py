"""Services in processes of their own over a real NATS server, which is killed, wiped and fed nonsense."""

from __future__ import annotations

import asyncio
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
from .processes import PROGRAM, Nats, Participant, until

DYING = Path(__file__).with_name("dying.py")
NAMES = ("relay", "order", "inventory", "payment", "shipping", "loyalty")


class Town:
    """A shop whose services are processes, and the broker between them."""

    def __init__(self, shop: Shop, nats: Nats) -> None:
        self.shop = shop
        self.nats = nats
        self.participants: dict[str, Participant] = {}

    def open(self) -> None:
        """Start the relay and every service."""
        for name in NAMES:
            self.open_one(name)

    def open_one(self, name: str) -> None:
        """Start the relay or a service."""
        self.participants[name] = Participant(name, self.shop.ledger.backend.url, self.nats.url)

    def open_to_die(self, name: str, crossing: str, moment: str) -> Participant:
        """Start the relay or a service, which is killed there."""
        program = [sys.executable, DYING, crossing, moment]
        self.participants[name] = Participant(name, self.shop.ledger.backend.url, self.nats.url, program)
        return self.participants[name]

    def close(self) -> None:
        """End what runs."""
        for participant in self.participants.values():
            participant.stop()

    def ended(self) -> int:
        """How many sagas have ended."""
        self.shop.follow()
        return sum(row["ended_at"] is not None for row in self.shop.ledger.query("sagas", limit=1_000).rows)


@pytest.fixture
def town(sqlite_shop: Shop, nats: Nats) -> Iterator[Town]:
    """A shop whose services can be started."""
    town = Town(sqlite_shop, nats)
    yield town
    town.close()


def _everything_holds(town: Town, orders: int) -> None:
    ledger = town.shop.ledger
    assert {row["status"] for row in ledger.query("sagas", limit=1_000).rows} == {"completed", "compensated"}
    assert ledger.query("findings").rows == []
    assert ledger.query("dead_letters").rows == []
    completed = [row for row in ledger.query("orders", limit=1_000).rows if row["status"] == "completed"]
    captured = sum(row["captured_minor"] - row["refunded_minor"] for row in ledger.query("payments", limit=1_000).rows)
    assert captured == sum(row["total_minor"] for row in completed)
    assert len(completed) == orders - orders // 5
    [stock] = ledger.query("inventory", where={"sku": "sku1"}).rows
    assert (stock["on_hand"], stock["reserved"], stock["shipped"]) == (100 - len(completed), 0, len(completed))


def test_orders_survive_kills_of_services_and_a_broker_that_lost_everything(town: Town) -> None:
    """Whatever is killed comes back, whatever the broker lost is sent again from the log."""
    orders = 40
    town.shop.place(*(order(str(n), ("sku1", 1), declined=n % 5 == 0) for n in range(orders // 2)))
    town.open()
    until(lambda: town.ended() >= 3)
    for name in ("payment", "inventory"):
        town.participants[name].kill()
    town.nats.kill()
    town.shop.place(*(order(str(n), ("sku1", 1), declined=n % 5 == 0) for n in range(orders // 2, orders)))
    town.nats.start(wiped=True)
    for name in ("payment", "inventory"):
        town.open_one(name)

    until(lambda: town.ended() == orders)

    _everything_holds(town, orders)


def test_a_death_at_any_exchange_with_the_broker_changes_no_outcome(town: Town) -> None:
    """The relay and a service are killed right before and right after they ask, send and acknowledge."""
    orders = 5
    town.shop.place(*(order(str(n), ("sku1", 1), declined=n % 5 == 0) for n in range(orders)))
    for name in NAMES:
        if name not in ("relay", "order"):
            town.open_one(name)

    for crossing in ("nats connect", "nats stream", "nats publish"):
        assert all(town.open_to_die("relay", crossing, moment).died() for moment in ("before", "after"))
    town.open_one("relay")
    for crossing in ("nats connect", "nats ack"):
        assert all(town.open_to_die("order", crossing, moment).died() for moment in ("before", "after"))
    town.open_one("order")

    until(lambda: town.ended() == orders)
    _everything_holds(town, orders)


def test_nonsense_on_the_stream_is_put_away_and_delays_nobody(town: Town) -> None:
    """Nothing of it is believed, and it does not come again."""
    town.shop.place(order("1"))
    town.open()
    until(lambda: town.ended() == 1)
    stream = stream_of(town.shop.ledger.context)

    async def publish() -> None:
        async with Client() as client:
            await client.connect(town.nats.url)
            forged = {"ce-specversion": "1.0", "ce-id": f"{stream}:1", "ce-source": f"/sagaledger/{stream}"}
            for headers in ({}, forged, {**forged, "ce-type": "x", "ce-subject": "y", "ce-position": "1"}):
                await client.jetstream().publish(f"{stream}.order_flow.OrderCreated", b"not json", headers=headers)

    head = town.shop.ledger.backend.head().position
    asyncio.run(publish())
    town.shop.place(order("2"))

    until(lambda: town.ended() == 2)
    assert town.shop.topics("order_flow-2") == town.shop.topics("order_flow-1")
    assert town.shop.ledger.backend.head().position == head + len(town.shop.topics("order_flow-2"))


def test_a_broker_that_is_down_at_the_start_is_told_and_nothing_is_lost(tmp_path: Path) -> None:
    """Exit code 5; the same command goes on when there is one."""
    url = f"sqlite:///{tmp_path / 'ledger.db'}"
    words = [PROGRAM, "run", str(SLICE), "--style", "choreography", "--db", url]

    down = subprocess.run(
        [*words, "--broker", "nats://127.0.0.1:1"],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )

    assert down.returncode == 5
    assert "cannot be used" in down.stderr
    assert "Traceback" not in down.stderr


def test_a_file_goes_through_five_processes(tmp_path: Path, nats: Nats) -> None:
    """As one command, with the outcomes of any other run."""
    url = f"sqlite:///{tmp_path / 'ledger.db'}"
    words = ["run", str(SLICE), "--style", "choreography", "--seed", "7", "--decline-rate", "0.1", "--db", url]

    done = subprocess.run(
        [PROGRAM, *words, "--broker", nats.url], cwd=tmp_path, capture_output=True, text=True, timeout=100, check=False
    )

    assert done.returncode == 0, done.stderr
    with Ledger.open(url, APP) as ledger:
        statuses = [row["status"] for row in ledger.query("sagas", limit=1_000).rows]
        assert (statuses.count("completed"), statuses.count("compensated")) == (89, 11)
        assert ledger.query("findings").rows == ledger.query("dead_letters").rows == []
