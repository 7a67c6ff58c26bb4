"""Events whose messages never arrive: the log has them, so every order ends all the same."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable

import pytest
from nats.aio.client import Client
from nats.js.client import JetStreamContext

from sagaledger.domain.saga.state import Status
from sagaledger.infrastructure.choreography.nats import inbox
from sagaledger.infrastructure.choreography.nats.cloud_events import MESSAGE_ID
from sagaledger.infrastructure.choreography.nats.connection import stream_of
from sagaledger.infrastructure.choreography.nats.consumer import NatsConsumer
from sagaledger.infrastructure.choreography.nats.outage import pause
from sagaledger.infrastructure.choreography.nats.outbox_relay import OutboxRelay

from .conftest import Shop, order
from .processes import PATIENCE_SECONDS, Nats

OnStream = Callable[[JetStreamContext, str], Awaitable[None]]


@pytest.fixture(autouse=True)
def _soon_overdue(monkeypatch: pytest.MonkeyPatch) -> None:
    """Each event of an order is overdue after the one before: let that be soon."""
    monkeypatch.setattr(inbox, "OVERDUE_SECONDS", 0.5)


async def _purge(jetstream: JetStreamContext, stream: str) -> None:
    """Empty the stream, as `nats stream purge` does: its sequence numbers go on."""
    assert await jetstream.purge_stream(stream)


async def _expire(jetstream: JetStreamContext, stream: str) -> None:
    """Let every message grow too old."""
    config = (await jetstream.stream_info(stream)).config
    await jetstream.update_stream(config.evolve(max_age=0.2, duplicate_window=0.1))
    while (await jetstream.stream_info(stream)).state.messages:
        await pause(asyncio.Event(), 0.05)


async def _delete(jetstream: JetStreamContext, stream: str) -> None:
    """Remove the first message."""
    first = (await jetstream.stream_info(stream)).state.first_seq
    assert await jetstream.delete_msg(stream, first)


async def _take(jetstream: JetStreamContext, stream: str) -> None:
    """Acknowledge a service's messages in its name, as a program with the same consumer would."""
    subscription = await jetstream.pull_subscribe(f"{stream}.order_flow.OrderCreated", "inbox_inventory", stream)
    for message in await subscription.fetch(1, timeout=PATIENCE_SECONDS):
        await message.ack_sync()


def _on_stream(shop: Shop, nats: Nats, act: OnStream) -> None:
    async def connect_and_act() -> None:
        async with Client() as client:
            await client.connect(nats.url)
            await act(client.jetstream(), stream_of(shop.ledger.context))

    asyncio.run(connect_and_act())


def _run(shop: Shop, nats: Nats, until: Callable[[], bool], *, instances: int = 1) -> None:
    """Relay, and let so many instances of each service consume, until a condition holds."""

    async def run() -> None:
        stopping = asyncio.Event()
        services = [service for service in shop.ledger.app.services.values() for _ in range(instances)]
        runners = [OutboxRelay(shop.ledger, nats.url), *(NatsConsumer(shop.ledger, s, nats.url) for s in services)]
        running = [asyncio.create_task(runner.run(stopping)) for runner in runners]
        async with asyncio.timeout(PATIENCE_SECONDS):
            while not await asyncio.to_thread(until):
                await asyncio.to_thread(shop.ledger.backend.wait_beyond, shop.ledger.backend.head().position, 0.05)
        stopping.set()
        await asyncio.gather(*running)

    asyncio.run(run())


def _is_relayed(shop: Shop) -> bool:
    log = shop.ledger.backend
    return log.consumer_position(f"relay:{stream_of(shop.ledger.context)}") == log.head().position


def _is_completed(shop: Shop, orders: int = 1) -> bool:
    return all(shop.ledger.state(f"order_flow-{n}").status is Status.COMPLETED for n in range(1, orders + 1))


@pytest.mark.parametrize("lose", [_purge, _expire, _delete], ids=["purged", "expired", "deleted"])
def test_an_event_whose_message_the_broker_no_longer_has_is_handled(
    sqlite_shop: Shop, nats: Nats, caplog: pytest.LogCaptureFixture, lose: OnStream
) -> None:
    """The order ends, and the service says what the broker did not announce."""
    sqlite_shop.place(order("1"))
    _run(sqlite_shop, nats, lambda: _is_relayed(sqlite_shop), instances=0)
    _on_stream(sqlite_shop, nats, lose)

    with caplog.at_level(logging.WARNING):
        _run(sqlite_shop, nats, lambda: _is_completed(sqlite_shop))

    [told] = caplog.messages
    assert "service inventory: events that the broker did not announce within 0.5 s are handled from the log: 1" in told
    topics = sqlite_shop.topics("order_flow-1")
    assert sorted(topics) == sorted(set(topics)), "each event counts once"


def test_an_event_whose_message_id_somebody_else_used_is_handled(sqlite_shop: Shop, nats: Nats) -> None:
    """The broker drops the true messages as duplicates, and the services reject the ones that were sent before."""
    sqlite_shop.place(order("1"))
    _run(sqlite_shop, nats, lambda: _is_relayed(sqlite_shop), instances=0)
    head = sqlite_shop.ledger.backend.head().position

    async def squat(jetstream: JetStreamContext, stream: str) -> None:
        for position in range(head + 1, head + 20):
            squatted = {MESSAGE_ID: f"{stream}:{position}"}
            ack = await jetstream.publish(f"{stream}.order_flow.OrderCreated", b"squatted", headers=squatted)
            assert not ack.duplicate

    _on_stream(sqlite_shop, nats, squat)

    _run(sqlite_shop, nats, lambda: _is_completed(sqlite_shop))


def test_an_event_whose_message_another_program_took_is_handled(sqlite_shop: Shop, nats: Nats) -> None:
    """A message that was acknowledged is not delivered again."""
    sqlite_shop.place(order("1"))
    _run(sqlite_shop, nats, lambda: _is_relayed(sqlite_shop), instances=0)
    _on_stream(sqlite_shop, nats, _take)

    _run(sqlite_shop, nats, lambda: _is_completed(sqlite_shop))


def test_two_instances_handle_undelivered_events_once(sqlite_shop: Shop, nats: Nats) -> None:
    """Both read them from the log at the same time, while messages of other events arrive."""
    orders = 20
    sqlite_shop.place(*(order(str(number)) for number in range(1, orders // 2 + 1)))
    _run(sqlite_shop, nats, lambda: _is_relayed(sqlite_shop), instances=0)
    _on_stream(sqlite_shop, nats, _purge)
    sqlite_shop.place(*(order(str(number)) for number in range(orders // 2 + 1, orders + 1)))

    _run(sqlite_shop, nats, lambda: _is_completed(sqlite_shop, orders), instances=2)

    sqlite_shop.follow()
    [stock] = sqlite_shop.ledger.query("inventory", where={"sku": "sku1"}).rows
    assert (stock["on_hand"], stock["shipped"]) == (100 - 2 * orders, 2 * orders)
    assert sqlite_shop.ledger.query("findings").rows == []
