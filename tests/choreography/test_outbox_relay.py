"""The outbox relay, to a real NATS server: what it sends, what the broker drops, and when it begins again."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Iterator
from pathlib import Path
from random import Random
from uuid import uuid4

import pytest
from nats.aio.client import Client
from nats.js.api import StreamConfig, StreamState

from sagaledger.domain.saga.state import Status
from sagaledger.domain.shop.services import payment
from sagaledger.infrastructure.choreography.nats.cloud_events import MESSAGE_ID, headers_of, subject_of
from sagaledger.infrastructure.choreography.nats.connection import DUPLICATE_WINDOW_SECONDS, stream_of
from sagaledger.infrastructure.choreography.nats.consumer import NatsConsumer, subjects
from sagaledger.infrastructure.choreography.nats.outage import pause
from sagaledger.infrastructure.choreography.nats.outbox_relay import OutboxRelay
from sagaledger.infrastructure.event_store.append_call import CheckpointUpdate
from sagaledger.infrastructure.event_store.event_row import StoredRow
from sagaledger.infrastructure.ledger.ledger import Ledger
from sagaledger.infrastructure.ledger.transact import call_of
from sagaledger.infrastructure.shop.app import APP

from .conftest import Shop, order
from .processes import PATIENCE_SECONDS, Nats


@pytest.fixture
def narrow_nats(tmp_path: Path) -> Iterator[Nats]:
    """A NATS server that takes no message above 16 KiB."""
    server = Nats(tmp_path, f"max_payload: {16 * 1024}")
    server.start()
    yield server
    server.kill()


def _relay(shop: Shop, nats: Nats) -> None:
    """Relay until everything is sent."""

    async def relay() -> None:
        stopping = asyncio.Event()
        running = asyncio.create_task(OutboxRelay(shop.ledger, nats.url).run(stopping))
        async with asyncio.timeout(PATIENCE_SECONDS):
            while _position(shop) < _last_choreographed(shop).position and not running.done():
                await asyncio.to_thread(shop.ledger.backend.wait_beyond, shop.ledger.backend.head().position, 0.02)
        stopping.set()
        await running

    asyncio.run(relay())


def _react(shop: Shop, nats: Nats, *, instances: int = 1) -> None:
    """Relay, and let every service consume from the broker, until every order has ended."""

    async def react() -> None:
        stopping = asyncio.Event()
        services = shop.ledger.app.services.values()
        runners = [
            OutboxRelay(shop.ledger, nats.url),
            *(NatsConsumer(shop.ledger, service, nats.url) for service in services for _ in range(instances)),
        ]
        running = [asyncio.create_task(runner.run(stopping)) for runner in runners]
        async with asyncio.timeout(PATIENCE_SECONDS):
            while not _all_ended(shop):
                await asyncio.to_thread(shop.ledger.backend.wait_beyond, shop.ledger.backend.head().position, 0.05)
        stopping.set()
        await asyncio.gather(*running)

    asyncio.run(react())


def _all_ended(shop: Shop) -> bool:
    rows = shop.ledger.backend.read(0, limit=5_000, topics=["OrderCreated"])
    return all(shop.ledger.state(row.correlation_id or "").end is not None for row in rows)


def _position(shop: Shop) -> int:
    return shop.ledger.backend.consumer_position(f"relay:{stream_of(shop.ledger.context)}")


def _choreographed(shop: Shop) -> list[StoredRow]:
    rows = shop.ledger.backend.read(0, limit=5_000)
    return [row for row in rows if row.correlation_id and shop.ledger.app.choreography_of(row.correlation_id)]


def _last_choreographed(shop: Shop) -> StoredRow:
    return _choreographed(shop)[-1]


def _stream(shop: Shop, nats: Nats) -> StreamState:
    """Returns the state of the broker's stream."""

    async def ask() -> StreamState:
        async with Client() as client:
            await client.connect(nats.url)
            name = stream_of(shop.ledger.context)
            info = await client.jetstream().stream_info(name, subjects_filter=f"{name}.>")
            return info.state

    return asyncio.run(ask())


def test_every_choreographed_event_is_sent_and_no_other(sqlite_shop: Shop, nats: Nats) -> None:
    """Events that are parts have a subject of their own, which a service need not read."""
    sqlite_shop.ledger.start("fulfil_order", order("9"))
    sqlite_shop.place(order("1", ("sku1", 1), ("sku2", 1)))
    sqlite_shop.bus.drain()

    _relay(sqlite_shop, nats)

    stream = stream_of(sqlite_shop.ledger.context)
    assert _stream(sqlite_shop, nats).subjects == {
        f"{stream}.order_flow.OrderCreated": 1,
        f"{stream}.order_flow.InventoryReserved.part": 1,
        f"{stream}.order_flow.InventoryReserved": 1,
        f"{stream}.order_flow.PaymentSucceeded": 1,
        f"{stream}.order_flow.ShipmentPrepared": 1,
        f"{stream}.order_flow.LoyaltyPointsAwarded": 1,
        f"{stream}.order_flow.OrderCompleted": 1,
    }


def test_an_event_that_is_sent_again_is_dropped_by_the_broker(sqlite_shop: Shop, nats: Nats) -> None:
    """A relay that died before it moved its checkpoint sends the same message ids again."""
    sqlite_shop.place(order("1"), order("2", declined=True))
    sqlite_shop.bus.drain()
    _relay(sqlite_shop, nats)
    sent = _stream(sqlite_shop, nats).messages

    consumer = f"relay:{stream_of(sqlite_shop.ledger.context)}"
    back = CheckpointUpdate(consumer, _position(sqlite_shop), 0)
    sqlite_shop.ledger.backend.append(call_of([], [back]))
    _relay(sqlite_shop, nats)

    assert sent == len(_choreographed(sqlite_shop))
    assert _stream(sqlite_shop, nats).messages == sent


def test_an_empty_stream_is_not_lost_if_nothing_was_sent(
    sqlite_shop: Shop, nats: Nats, caplog: pytest.LogCaptureFixture
) -> None:
    """A log may begin with many events that are not to be sent."""
    sqlite_shop.stock(**{f"a{number}": 1 for number in range(600)})
    sqlite_shop.place(order("1"))

    with caplog.at_level(logging.WARNING):
        _relay(sqlite_shop, nats)

    assert caplog.messages == []
    assert _stream(sqlite_shop, nats).messages == 1


def test_the_relay_waits_while_the_ledger_is_empty_and_says_so_once(
    sqlite_url: str, nats: Nats, caplog: pytest.LogCaptureFixture
) -> None:
    """It goes on with the first event."""
    with Ledger.open(sqlite_url, APP) as ledger, caplog.at_level(logging.INFO, "sagaledger"):
        shop = Shop(ledger)

        async def relay() -> None:
            stopping = asyncio.Event()
            running = asyncio.create_task(OutboxRelay(ledger, nats.url).run(stopping))
            await pause(stopping, 1.0)  # enough for several tries
            shop.place(order("1"))
            async with asyncio.timeout(PATIENCE_SECONDS):
                while _position(shop) == 0:
                    await pause(stopping, 0.05)
            stopping.set()
            await running

        asyncio.run(relay())

    assert [message for message in caplog.messages if "empty" in message] == caplog.messages[:1]
    assert caplog.messages[1:] == ["the relay goes on"]


def test_a_lost_stream_is_sent_again_from_the_first_unhandled_event(
    sqlite_shop: Shop, nats: Nats, caplog: pytest.LogCaptureFixture
) -> None:
    """A relay that never saw the stream notices as well."""
    sqlite_shop.place(order("1"))
    _relay(sqlite_shop, nats)
    nats.kill()
    nats.start(wiped=True)
    sqlite_shop.place(order("2"))

    with caplog.at_level(logging.WARNING):
        _relay(sqlite_shop, nats)

    assert [message for message in caplog.messages if "lost its stream" in message]
    assert _stream(sqlite_shop, nats).messages == 2


def test_messages_that_come_twice_late_and_in_another_order_count_once(sqlite_shop: Shop, nats: Nats) -> None:
    """They have other message ids, so that the broker does not drop them."""
    sqlite_shop.place(order("1"), order("2", declined=True), order("3"))
    _react(sqlite_shop, nats)
    log = [sqlite_shop.topics(f"order_flow-{key}") for key in "123"]
    rows = _choreographed(sqlite_shop)
    Random(7).shuffle(rows)  # noqa: S311  # an order that can be repeated

    async def publish_again() -> None:
        stream = stream_of(sqlite_shop.ledger.context)
        async with Client() as client:
            await client.connect(nats.url)
            for row in rows:
                headers = {**headers_of(stream, row), MESSAGE_ID: str(uuid4())}
                subject = subject_of(stream, "order_flow", row.topic)
                await client.jetstream().publish(subject, row.state, headers=headers)

    asyncio.run(publish_again())
    sqlite_shop.place(order("4"))
    _react(sqlite_shop, nats)

    assert [sqlite_shop.topics(f"order_flow-{key}") for key in "123"] == log
    assert sqlite_shop.ledger.state("order_flow-4").status is Status.COMPLETED


def test_the_instances_of_a_service_share_its_events(sqlite_shop: Shop, nats: Nats) -> None:
    """Each event counts once, whichever instance receives it."""
    sqlite_shop.place(*(order(str(number)) for number in range(10)))

    _react(sqlite_shop, nats, instances=2)

    sqlite_shop.follow()
    assert {row["status"] for row in sqlite_shop.ledger.query("sagas").rows} == {"completed"}
    [row] = sqlite_shop.ledger.query("inventory", where={"sku": "sku1"}).rows
    assert (row["on_hand"], row["shipped"]) == (80, 20)


def test_a_stream_with_other_settings_gets_those_of_the_ledger(sqlite_shop: Shop, nats: Nats) -> None:
    """The relay does not need to be the first to make it."""
    sqlite_shop.place(order("1"))
    name = stream_of(sqlite_shop.ledger.context)

    async def declare() -> None:
        async with Client() as client:
            await client.connect(nats.url)
            await client.jetstream().add_stream(StreamConfig(name=name, subjects=[f"{name}.>"], duplicate_window=1.0))

    async def ask() -> float | None:
        async with Client() as client:
            await client.connect(nats.url)
            return (await client.jetstream().stream_info(name)).config.duplicate_window

    asyncio.run(declare())
    _relay(sqlite_shop, nats)

    assert asyncio.run(ask()) == DUPLICATE_WINDOW_SECONDS
    assert _stream(sqlite_shop, nats).messages == 1


def test_an_event_too_large_for_the_broker_is_sent_by_reference(sqlite_shop: Shop, narrow_nats: Nats) -> None:
    """The service reads its data from the log; neither the relay nor the services stop at it."""
    articles = {f"a{number}": 1 for number in range(600)}
    sqlite_shop.stock(**articles)
    sqlite_shop.place(order("1", *((sku, 1) for sku in articles)), order("2"))
    assert max(len(row.state) for row in _choreographed(sqlite_shop)) > 16 * 1024

    _react(sqlite_shop, narrow_nats)

    assert [sqlite_shop.ledger.state(f"order_flow-{key}").status for key in "12"] == [Status.COMPLETED] * 2


def test_a_service_subscribes_to_parts_only_if_it_reacts_to_single_parts() -> None:
    """Payment receives one message when all articles of an order are reserved, not one for each."""
    assert sorted(subjects("s", payment)) == [
        "s.order_flow.InventoryReserved",
        "s.order_flow.OrderCancelled",
        "s.return_flow.Abstained",
        "s.return_flow.Abstained.part",
        "s.return_flow.ItemsRestocked",
    ]
