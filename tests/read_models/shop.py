"""A shop whose events are written straight into a log: its sagas complete, compensate, wait, or need a person.

Every random choice comes from the seed, so the same seed always gives the same history.
"""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from random import Random
from uuid import uuid4

from msgspec import Raw

from sagaledger.domain.event import Event
from sagaledger.domain.recorded_event import Meta
from sagaledger.domain.saga.event_parts import Failure
from sagaledger.domain.saga.events import (
    CompensationStarted,
    Direction,
    Effect,
    InterventionRequired,
    SagaCompensated,
    SagaCompleted,
    SagaStarted,
    StepCompensated,
    StepFailed,
    StepStarted,
    StepSucceeded,
)
from sagaledger.domain.shop.inventory import InventoryReleased, InventoryReserved, StockReceived
from sagaledger.domain.shop.loyalty import LoyaltyPointsAwarded
from sagaledger.domain.shop.order import OrderCancelled, OrderCompleted, OrderCreated
from sagaledger.domain.shop.payment import PaymentFailed, PaymentSucceeded
from sagaledger.domain.shop.shipping import ShipmentPrepared
from sagaledger.domain.shop.values import Quantity
from sagaledger.infrastructure.event_store.append_call import Append, AppendCall, Appended
from sagaledger.infrastructure.event_store.backend import Backend
from sagaledger.infrastructure.event_store.codec import Codec
from sagaledger.infrastructure.shop.app import APP

OPENING = datetime(2010, 12, 1, 8, 26, tzinfo=UTC)
NOTHING = Raw(b"null")
DECLINED = Failure("StepRejected", "payment declined")
Entry = tuple[str, str, Event]
"""Stream id, correlation id, event."""


class Shop:
    """Writes a shop's events to a log, in appends of a few events."""

    def __init__(self, log: Backend, *, seed: int = 1, articles: int = 20) -> None:
        self._log = log
        self._codec = Codec(APP.registry)
        self._random = Random(seed)  # noqa: S311  # a history that can be repeated
        self._versions: dict[str, int] = {}
        self._articles = [f"sku{number}" for number in range(articles)]
        self._orders = 0

    def open(self) -> int:
        """Receive stock of every article. Returns the head's position."""
        return self.write(
            [(f"article-{sku}", f"article-{sku}", StockReceived(OPENING, sku, 10_000)) for sku in self._articles]
        )

    def trade(self, orders: int) -> int:
        """Write the events of several orders, one event of each in turn. Returns the head's position."""
        running = [self._order() for _ in range(orders)]
        position = 0
        while running:
            entries: list[Entry] = []
            for saga in list(running):
                entry = next(saga, None)
                if entry is None:
                    running.remove(saga)
                else:
                    entries.append(entry)
            position = self.write(entries) or position
        return position

    def write(self, entries: list[Entry]) -> int:
        """Append events. Returns the position of the last one."""
        position = 0
        for at in range(0, len(entries), 1_000):
            new = []
            for stream_id, correlation_id, event in entries[at : at + 1_000]:
                version = self._versions[stream_id] = self._versions.get(stream_id, 0) + 1
                meta = Meta(worker="shop") if correlation_id == stream_id else Meta()
                new.append(self._codec.encode(stream_id, version, event, correlation_id=correlation_id, meta=meta))
            outcome = self._log.append(AppendCall(uuid4(), [Append(new)])).outcomes[0]
            assert isinstance(outcome, Appended), outcome
            position = outcome.last_position
        return position

    def _order(self) -> Iterator[Entry]:
        self._orders += 1
        order_id = str(536_000 + self._orders)
        saga_id = f"fulfil_order-{order_id}"
        sku, quantity = self._random.choice(self._articles), self._random.randint(1, 9)
        customer_id = f"c{self._random.randint(1, 30)}"
        fate = self._random.choice(["completed", "completed", "declined", "parked", "open"])
        at = OPENING + timedelta(minutes=self._orders)
        total = quantity * 250

        def own(event: Event) -> Entry:
            return saga_id, saga_id, event

        def of(category: str, key: str, event: Event) -> Entry:
            return f"{category}-{key}", saga_id, event

        yield own(SagaStarted(at, "fulfil_order", 1, "f1", Raw(b"{}")))
        yield of("order", order_id, OrderCreated(at, order_id, customer_id, "France", 1, total, "GBP", at))
        yield own(StepStarted(at, "reserve_inventory", 1, f"{order_id}r"))
        yield of("article", sku, InventoryReserved(at, order_id, sku, quantity, 1, 1))
        yield own(StepSucceeded(at, "reserve_inventory", 1, NOTHING))
        yield own(StepStarted(at, "process_payment", 1, f"{order_id}p"))
        if fate == "parked":
            yield own(StepFailed(at, "process_payment", 1, DECLINED, Effect.UNKNOWN, True, None))
            yield own(InterventionRequired(at, "process_payment", Direction.FORWARD, "the bank does not answer"))
            return
        if fate == "declined":
            failed = PaymentFailed(at, order_id, order_id, customer_id, total, "GBP", "declined")
            yield of("payment", order_id, failed)
            yield own(StepFailed(at, "process_payment", 1, DECLINED, Effect.NONE, False, None))
            yield own(CompensationStarted(at, "reserve_inventory", 1, f"{order_id}rc"))
            yield of("article", sku, InventoryReleased(at, order_id, sku, quantity))
            yield own(StepCompensated(at, "reserve_inventory", 1, NOTHING))
            yield of("order", order_id, OrderCancelled(at, order_id, "payment declined"))
            yield own(SagaCompensated(at, "payment declined"))
            return
        yield of("payment", order_id, PaymentSucceeded(at, order_id, order_id, customer_id, total, "GBP"))
        yield own(StepSucceeded(at, "process_payment", 1, NOTHING, pivot=True))
        if fate == "open":
            return
        yield own(StepStarted(at, "prepare_shipping", 1, f"{order_id}s"))
        yield of("shipment", order_id, ShipmentPrepared(at, order_id, f"SL{order_id}", (Quantity(sku, quantity),)))
        yield own(StepSucceeded(at, "prepare_shipping", 1, NOTHING))
        yield own(StepStarted(at, "award_loyalty_points", 1, f"{order_id}l"))
        yield of("customer", customer_id, LoyaltyPointsAwarded(at, customer_id, order_id, total // 100))
        yield own(StepSucceeded(at, "award_loyalty_points", 1, NOTHING))
        yield of("order", order_id, OrderCompleted(at, order_id))
        yield own(SagaCompleted(at, NOTHING))
