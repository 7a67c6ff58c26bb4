"""Reactions that fail are tried again, then parked; later events of the process wait, other processes go on."""

from __future__ import annotations

from asyncio import CancelledError
from collections.abc import Callable, Iterator
from contextlib import closing
from datetime import UTC, datetime, timedelta
from time import monotonic, sleep

import pytest
from msgspec.structs import replace

from sagaledger.domain.choreography.derived_saga import awaited
from sagaledger.domain.choreography.service import ProcessHistory, Service
from sagaledger.domain.participant import Command, Refused
from sagaledger.domain.saga.events import StepFailed
from sagaledger.domain.saga.retry_policy import Retry
from sagaledger.domain.saga.state import Status
from sagaledger.domain.shop import PARTICIPANTS, InventoryReserved, OrderCreated, PaymentSucceeded
from sagaledger.domain.shop.choreographies import order_choreography, return_choreography
from sagaledger.domain.shop.services import SERVICES, inventory, loyalty, order, payment, place, shipping
from sagaledger.infrastructure.choreography.replay import replay
from sagaledger.infrastructure.event_store.append_call import Append
from sagaledger.infrastructure.event_store.connect import open_backend
from sagaledger.infrastructure.ledger.app import App
from sagaledger.infrastructure.ledger.ledger import Ledger
from sagaledger.infrastructure.ledger.transact import call_of
from sagaledger.infrastructure.runtime.clock import Clock
from sagaledger.projections.shop import SHOP_PROJECTIONS

from .conftest import Shop
from .conftest import order as an_order

QUICK = Retry(attempts=3, backoff_seconds=0.01, backoff_seconds_max=0.01)
Failing = Callable[[PaymentSucceeded], None]


class Carrier:
    """Packs parcels as the shop's own service does, and fails for the orders in `broken`."""

    def __init__(self) -> None:
        self.broken: dict[str, BaseException] = {}
        self.unsure: dict[str, BaseException] = {}
        """For which orders it cannot say whether an event concerns it."""
        self.attempts: list[str] = []
        self.service = Service("shipping", retry=QUICK)
        for choreography in (order_choreography, return_choreography):
            for topic in shipping.topics:
                response = shipping.response_to(choreography.name, topic)
                if response is not None:
                    type_ = next(type_ for type_ in choreography.meanings if type_.schema.name == topic)
                    when = self._when(response.when)
                    self.service.reacts(choreography, type_, when=when)(self._reaction(response.react))

    def _when(self, when: Callable[..., bool]) -> Callable[[PaymentSucceeded], bool]:
        def concerns(event: PaymentSucceeded) -> bool:
            if event.order_id in self.unsure:
                raise self.unsure[event.order_id]
            return when(event)

        return concerns

    def _reaction(self, react: Callable[..., object]) -> Callable[[PaymentSucceeded, ProcessHistory], list[Command]]:
        def reaction(event: PaymentSucceeded, history: ProcessHistory) -> list[Command]:
            self.attempts.append(event.order_id)
            if event.order_id in self.broken:
                raise self.broken[event.order_id]
            return react(event, history)  # type: ignore[return-value]

        return reaction


def _app(carrier: Carrier) -> App:
    services = (order, inventory, payment, carrier.service, loyalty)
    return App(participants=PARTICIPANTS, services=services, projections=SHOP_PROJECTIONS)


@pytest.fixture
def carrier() -> Carrier:
    """A shipping service that can fail."""
    return Carrier()


@pytest.fixture
def shop(url: str, carrier: Carrier) -> Iterator[Shop]:
    """A shop whose shipping service is the carrier."""
    with Ledger.open(url, _app(carrier), create=True) as ledger:
        shop = Shop(ledger)
        shop.stock(sku1=100)
        yield shop


def test_a_reaction_that_fails_is_tried_again_until_it_succeeds(shop: Shop, carrier: Carrier) -> None:
    """Each attempt is recorded as an attempt at the service's step."""
    carrier.broken["1"] = ConnectionError("the carrier does not answer")
    shop.place(an_order("1"))
    while len(carrier.attempts) < 2:
        shop.bus.run_once()
    carrier.broken.clear()

    shop.drain()

    assert shop.ledger.state("order_flow-1").status is Status.COMPLETED
    attempts = shop.ledger.query("saga_steps", where={"saga_id": "order_flow-1", "step": "prepare_shipping"}).rows
    assert [row["status"] for row in attempts] == ["failed", "failed", "succeeded"]
    [dead_letter] = shop.ledger.query("dead_letters").rows
    assert (dead_letter["status"], dead_letter["attempts"]) == ("settled", 2)


def test_a_reaction_that_keeps_failing_is_parked_and_the_other_processes_go_on(
    shop: Shop, carrier: Carrier, caplog: pytest.LogCaptureFixture
) -> None:
    """Its saga needs a person; nothing is lost."""
    carrier.broken["1"] = ConnectionError("the carrier does not answer")
    shop.place(an_order("1"), an_order("2"))

    shop.drain()

    assert carrier.attempts.count("1") == QUICK.attempts
    assert shop.ledger.state("order_flow-1").status is Status.NEEDS_INTERVENTION
    assert shop.ledger.state("order_flow-2").status is Status.COMPLETED
    [dead_letter] = shop.ledger.query("dead_letters").rows
    assert (dead_letter["service"], dead_letter["status"], dead_letter["correlation_id"]) == (
        "shipping",
        "parked",
        "order_flow-1",
    )
    assert "the carrier does not answer" in dead_letter["error"]
    [row] = shop.ledger.query("sagas", where={"saga_id": "order_flow-1"}).rows
    assert (row["status"], row["failed_step"]) == ("needs_intervention", "prepare_shipping")
    assert [record.levelname for record in caplog.records] == ["WARNING"] * (QUICK.attempts - 1) + ["ERROR"]
    assert all(record.exc_info and record.exc_info[0] is ConnectionError for record in caplog.records)
    position = dead_letter["position"]
    assert caplog.messages[-1] == (
        f"service shipping failed at PaymentSucceeded, position {position}, of order_flow-1, attempt 3 "
        "(it needs a person)"
    )


@pytest.mark.parametrize("error", [SystemExit, KeyboardInterrupt, GeneratorExit, CancelledError, ZeroDivisionError])
@pytest.mark.parametrize("place", ["when", "reaction"])
def test_whatever_a_service_raises_concerns_its_event(
    shop: Shop, carrier: Carrier, place: str, error: type[BaseException]
) -> None:
    """The services' thread goes on: the event is parked, and other processes end."""
    (carrier.unsure if place == "when" else carrier.broken)["1"] = error()
    shop.place(an_order("1"), an_order("2"))
    shop.bus.start()
    try:
        deadline = monotonic() + 30
        while shop.ledger.state("order_flow-2").end is None or not shop.ledger.state("order_flow-1").interventions:
            assert monotonic() < deadline
            sleep(0.01)
    finally:
        shop.bus.stop()

    assert shop.ledger.state("order_flow-2").status is Status.COMPLETED


def test_a_parked_event_is_handled_when_it_is_replayed(shop: Shop, carrier: Carrier) -> None:
    """The log says who replayed it, and why."""
    carrier.broken["1"] = ConnectionError("the carrier does not answer")
    shop.place(an_order("1"))
    shop.drain()
    carrier.broken.clear()
    [dead_letter] = shop.ledger.query("dead_letters").rows

    replay(shop.ledger, "shipping", dead_letter["position"], actor="me", reason="the carrier is back")
    shop.drain()

    assert shop.ledger.state("order_flow-1").status is Status.COMPLETED
    assert shop.ledger.query("dead_letters").rows[0]["status"] == "settled"
    assert "DeliveryReplayed" in shop.topics("order_flow-1")


def test_an_order_cancelled_while_an_event_is_parked_ends_when_that_is_replayed(shop: Shop, carrier: Carrier) -> None:
    """The service sees what its process recorded meanwhile, so it packs no parcel for a cancelled order."""
    carrier.broken["1"] = ConnectionError("the carrier does not answer")
    shop.place(an_order("1"))
    shop.drain()
    [dead_letter] = shop.ledger.query("dead_letters").rows

    shop.ledger.cancel("order_flow-1", actor="me", reason="the customer called")
    shop.drain()
    undone = shop.ledger.state("order_flow-1")
    carrier.broken.clear()
    replay(shop.ledger, "shipping", dead_letter["position"], actor="me", reason="the carrier is back")
    shop.drain()

    assert undone.status is Status.NEEDS_INTERVENTION
    assert {"PaymentRefunded", "InventoryReleased"} <= set(shop.topics("order_flow-1"))
    assert "ShipmentPrepared" not in shop.topics("order_flow-1")
    assert shop.ledger.state("order_flow-1").status is Status.COMPENSATED
    assert {row["status"] for row in shop.ledger.query("dead_letters").rows} == {"settled"}
    assert shop.ledger.query("findings").rows == []


def test_a_saga_whose_event_is_parked_waits_for_that_step(shop: Shop, carrier: Carrier) -> None:
    """It does not wait for its end, and the attempts count as failures, not as a refusal."""
    carrier.broken["1"] = ConnectionError("the carrier does not answer")
    shop.place(an_order("1"))

    shop.drain()

    assert awaited(order_choreography, shop.ledger.state("order_flow-1")) == ("prepare_shipping", "shipping")
    failures = [each.event for each in shop.ledger.history("order_flow-1") if isinstance(each.event, StepFailed)]
    assert [failed.retryable for failed in failures] == [True] * QUICK.attempts


def test_only_a_parked_event_can_be_replayed(shop: Shop) -> None:
    """The replay of any other event is refused."""
    with pytest.raises(Refused, match="not parked"):
        replay(shop.ledger, "shipping", 1, actor="me", reason="test")


def test_a_refusal_that_records_nothing_is_parked_at_once(shop: Shop, carrier: Carrier) -> None:
    """Another attempt would be refused as well."""
    carrier.broken["1"] = Refused("we do not go there")
    shop.place(an_order("1"))

    shop.drain()

    assert carrier.attempts == ["1"]
    assert shop.ledger.query("dead_letters").rows[0]["status"] == "parked"


def test_later_events_of_a_process_wait_behind_the_one_that_failed(shop: Shop, carrier: Carrier) -> None:
    """The events of a process are handled in order, also after a replay."""
    carrier.broken["1"] = ConnectionError("the carrier does not answer")
    shop.place(an_order("1"))
    shop.drain()
    codec, log = shop.ledger.context.codec, shop.ledger.backend
    paid_again = PaymentSucceeded(an_order("1").placed_at, "1", "1", "c1", 0, "GBP")
    new = codec.encode("payment-1", 2, paid_again, correlation_id="order_flow-1")
    log.append(call_of([Append([new])]))
    shop.drain()
    by_status = {row["status"]: row for row in shop.ledger.query("dead_letters").rows}
    assert by_status["deferred"]["behind"] == by_status["parked"]["position"]
    carrier.broken.clear()

    replay(shop.ledger, "shipping", by_status["parked"]["position"], actor="me", reason="the carrier is back")
    shop.drain()

    assert shop.topics("order_flow-1").count("ShipmentPrepared") == 1
    second = shop.ledger.query("dead_letters", order=("-position",), limit=1).rows[0]
    assert (second["status"], "has a shipment already" in second["error"]) == ("parked", True)


def test_an_event_in_another_process_s_name_is_parked(shop: Shop) -> None:
    """No service acts on it, and the saga whose correlation id it bears has a finding."""
    shop.place(an_order("1"))
    shop.drain()
    reserved = InventoryReserved(an_order("1").placed_at, "2", "sku9", 1, 1, 1)
    new = shop.ledger.context.codec.encode("stock-sku9", 1, reserved, correlation_id="order_flow-1")
    shop.ledger.backend.append(call_of([Append([new])]))

    shop.drain()

    [dead_letter] = shop.ledger.query("dead_letters").rows
    assert (dead_letter["service"], dead_letter["status"]) == ("payment", "parked")
    [finding] = shop.ledger.query("findings").rows
    assert "is about '2'" in finding["problem"]


def test_an_event_that_cannot_be_read_is_parked_and_stops_no_service(shop: Shop) -> None:
    """The other processes go on."""
    created = OrderCreated(an_order("1").placed_at, "1", "c1", "France", 1, 500, "GBP", an_order("1").placed_at)
    bad = replace(shop.ledger.context.codec.encode("order-1", 1, created, correlation_id="order_flow-1"), state=b"{}")
    shop.ledger.backend.append(call_of([Append([bad])]))
    shop.place(an_order("2"))

    shop.bus.drain(timeout_seconds=30)

    assert shop.ledger.state("order_flow-2").status is Status.COMPLETED
    assert shop.topics("order_flow-1") == ["OrderCreated", "DeliveryFailed"]


def test_a_service_that_comes_back_goes_on_with_its_dead_letters(shop: Shop, carrier: Carrier) -> None:
    """The log holds what waits, not the memory of a process."""
    carrier.broken["1"] = ConnectionError("the carrier does not answer")
    shop.place(an_order("1"))
    while not carrier.attempts:
        shop.bus.run_once()
    carrier.broken.clear()

    another = Shop(shop.ledger)
    another.drain()

    assert shop.ledger.state("order_flow-1").status is Status.COMPLETED


def test_a_dead_letter_comes_due_by_the_clock_of_the_ledger(sqlite_url: str, carrier: Carrier) -> None:
    """The clock that drives sagas drives services as well."""
    now = datetime.now(UTC)
    carrier.service.retry = Retry(attempts=3, backoff_seconds=3_600.0, backoff_seconds_max=3_600.0)
    carrier.broken["1"] = ConnectionError("the carrier does not answer")
    clock = Clock(lambda: now, monotonic, sleep)
    with closing(Ledger(open_backend(sqlite_url, create=True), _app(carrier), clock=clock)) as ledger:
        shop = Shop(ledger)
        shop.stock(sku1=100)
        shop.place(an_order("1"))
        while shop.bus.run_once():
            pass
        carrier.broken.clear()

        before = (shop.bus.run_once(), list(carrier.attempts))
        now += timedelta(days=1)
        shop.bus.drain(timeout_seconds=30)

        assert before == (0, ["1"])
        assert ledger.state("order_flow-1").status is Status.COMPLETED


def test_every_service_of_the_shop_reacts_to_something() -> None:
    """A service without reactions would be declared wrongly."""
    assert all(service.topics for service in SERVICES)
    assert place(an_order("1"))[0] == "order_flow-1"
