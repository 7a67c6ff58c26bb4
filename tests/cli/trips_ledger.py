"""A ledger in which every time and id is fixed, with each kind of saga that a screen has to show.

Sagas are started and decided about as a program and a person would; what a worker and the services would record is
recorded here, at fixed times, by workers with fixed names.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

import msgspec
from msgspec import Raw

from sagaledger.domain.choreography.dead_letter import DeliveryFailed
from sagaledger.domain.event import Event
from sagaledger.domain.recorded_event import Meta
from sagaledger.domain.saga import events as e
from sagaledger.domain.saga.decision import idempotency_key
from sagaledger.domain.saga.event_parts import Failure, Parent, Wait, WaitKind
from sagaledger.domain.shop import inventory, order, payment
from sagaledger.domain.shop.fulfil_order import Order, OrderLine
from sagaledger.domain.shop.values import Quantity
from sagaledger.infrastructure.event_store.append_call import Append, AppendCall
from sagaledger.infrastructure.event_store.sqlite.clock import set_clock
from sagaledger.infrastructure.ledger.ledger import Ledger
from sagaledger.infrastructure.ledger.saga_start import SagaStart, start
from sagaledger.infrastructure.runtime.clock import SYSTEM_CLOCK

from .trips import APP, Charge, Trip, charge_card, group_trip

EVENING = datetime(2026, 2, 28, 21, 55, 3, 120_000, tzinfo=UTC)
"""When the first saga starts; a saga that waits was started here."""
NIGHT = datetime(2026, 3, 1, 2, 17, 5, 120_000, tzinfo=UTC)
NOW = datetime(2026, 3, 1, 3, 4, 12, tzinfo=UTC)
"""When the screens are looked at."""
BERLIN, PARIS = "berlin pid:[4026531836]-4711-1", "paris pid:[4026532201]-77-3"
DONE = Raw(b"null")
LONG_ERROR = (
    "the hotel's booking service answered 503 Service Unavailable after 29.998 seconds: upstream connect error or "
    "disconnect/reset before headers. retried and the latest reset reason: connection timeout; request id "
    "01HQTZ8Y3E5V9R2N7K4M6P8S0W, see https://status.hotels.example/incidents/2026-03-01-eu-central-1?service=booking"
)


class Recording:
    """One saga being recorded, at times after its start."""

    def __init__(self, tape: Tape, saga_id: str, start: datetime) -> None:
        self._tape = tape
        self.saga_id = saga_id
        self.start = start
        self.version = 0
        self.worker = BERLIN

    def at(self, seconds: float) -> datetime:
        """Let the clock stand at so many seconds after the start."""
        self._tape.now = self.start + timedelta(seconds=seconds)
        return self._tape.now

    def record(
        self, *events: Event, stream: str | None = None, worker: str | None = None, actor: str | None = None
    ) -> None:
        """Record events, of the saga or of a participant, in one append."""
        stream_id = stream or self.saga_id
        meta = Meta(actor=actor, worker=worker or self.worker)
        self._tape.append(stream_id, self.saga_id, events, meta)

    def begin(self, seconds: float, *steps: str, attempt: int = 1, wait: Wait | None = None) -> None:
        """Begin an attempt of some steps."""
        at = self.at(seconds)
        keys = {step: idempotency_key(self.saga_id, step, e.FORWARD) for step in steps}
        self.record(*(e.StepStarted(at, step, attempt, keys[step], wait) for step in steps))

    def succeed(self, seconds: float, step: str, result: Any = None, *, attempt: int = 1, pivot: bool = False) -> None:
        """Let an attempt succeed."""
        self.record(e.StepSucceeded(self.at(seconds), step, attempt, Raw(msgspec.json.encode(result)), pivot))

    def fail(
        self, seconds: float, step: str, error: tuple[str, str], *, attempt: int = 1, again: float | None = None
    ) -> None:
        """Let an attempt fail, to be made again at so many seconds after the start."""
        at = self.at(seconds)
        refused = error[0] == "StepRejected"
        retry_at = None if again is None else self.start + timedelta(seconds=again)
        effect = e.Effect.NONE if refused else e.Effect.UNKNOWN
        self.record(e.StepFailed(at, step, attempt, Failure(*error), effect, not refused, retry_at))

    def undo(self, begin: float, end: float, step: str, *, attempt: int = 1) -> None:
        """Compensate a step."""
        key = idempotency_key(self.saga_id, step, e.COMPENSATION)
        self.record(e.CompensationStarted(self.at(begin), step, attempt, key))
        self.record(e.StepCompensated(self.at(end), step, attempt, DONE))


class Tape:
    """The ledger, and its clock."""

    def __init__(self, ledger: Ledger) -> None:
        self.ledger = ledger
        self.now = EVENING
        self._calls = 0
        ledger.context.clock = SYSTEM_CLOCK._replace(now=lambda: self.now)

    def nanoseconds(self) -> int:
        """The time of the SQLite file."""
        return int(self.now.timestamp() * 1_000_000) * 1_000

    def start(self, saga: Any, value: Any, at: datetime) -> Recording:
        """Start a saga as a program does."""
        self.now = at
        started = self.ledger.start(saga, value, actor="web")
        return Recording(self, started.saga_id, at)

    def append(self, stream_id: str, correlation_id: str, events: tuple[Event, ...], meta: Meta) -> None:
        """Append events to the end of a stream."""
        backend, encode = self.ledger.backend, self.ledger.context.codec.encode
        version = len(backend.stream(stream_id))
        new = [
            encode(stream_id, number, event, correlation_id=correlation_id, meta=meta)
            for number, event in enumerate(events, version + 1)
        ]
        self._calls += 1
        backend.append(AppendCall(UUID(int=self._calls), [Append(new)]))


@contextmanager
def trips_ledger(url: str) -> Iterator[Ledger]:
    """The ledger, as it is at `NOW`, with its views."""
    with Ledger.open(url, APP, create=True) as ledger:
        tape = Tape(ledger)
        set_clock(tape.nanoseconds)
        try:
            for record in (
                _waits_for_approval,
                _completed,
                _compensated,
                _needs_person_in_sub_saga,
                _stuck_order,
                _worker_died,
                _long_names,
                _parked_process,
            ):
                record(tape)
            tape.now = NOW
            ledger.projector().catch_up()
            yield ledger
        finally:
            set_clock(None)


def _items(saga: Recording, travellers: list[str], begin: float, ends: list[float]) -> None:
    """Record a list of seats, two of them booked at the same time."""
    saga.begin(begin, "book_seat", wait=Wait(WaitKind.ITEMS))
    values = tuple(Raw(msgspec.json.encode(name)) for name in travellers)
    saga.record(e.ItemsListed(saga.at(begin), "book_seat", 0, len(values), values))
    saga.begin(begin, *(f"book_seat[{index}]" for index in range(min(2, len(values)))))
    for index, end in enumerate(ends):
        saga.succeed(end, f"book_seat[{index}]", f"seat {12 + index}A")
        if index + 2 < len(values):
            saga.begin(end, f"book_seat[{index + 2}]")
    saga.succeed(ends[-1], "book_seat", [f"seat {12 + index}A" for index in range(len(values))])


def _bookings(saga: Recording, begin: float, flight: float, hotel: float) -> None:
    saga.begin(begin, "book_flight", "book_hotel")
    saga.succeed(flight, "book_flight", "LH-2041")
    saga.succeed(hotel, "book_hotel", "3 rooms")


def _release(saga: Recording, begin: float) -> None:
    due_at = saga.start + timedelta(days=7, seconds=begin)
    saga.begin(begin, "release", wait=Wait(WaitKind.SIGNAL, "release", due_at, 2, ("web",)))


def _approved(saga: Recording, tape: Tape, at: float, actor: str, number: int) -> None:
    saga.at(at)
    tape.ledger.approve(saga.saga_id, "release", {"pounds": 900}, actor=actor, reason="within the budget")
    saga.at(at + 0.02)
    version = tape.ledger.state(saga.saga_id).version
    saga.record(e.ApprovalCounted(tape.now, "release", 1, version, actor, number, 2))


def _waits_for_approval(tape: Tape) -> None:
    saga = tape.start(group_trip, Trip("名古屋", ["織田 信長", "Zoë Müller-Lüdenscheidt"]), EVENING)
    _items(saga, ["織田 信長", "Zoë Müller-Lüdenscheidt"], 0.02, [0.31, 0.42])
    _bookings(saga, 0.44, 1.62, 2.05)
    saga.record(e.ConditionNotMet(saga.at(2.05), "order_visas"))
    _release(saga, 2.05)
    _approved(saga, tape, 9_321.5, "ann", 1)


def _completed(tape: Tape) -> None:
    saga = tape.start(group_trip, Trip("Rome", ["Ada", "Grace", "Alan"], abroad=True), NIGHT)
    _items(saga, ["Ada", "Grace", "Alan"], 0.018, [0.204, 0.377, 0.512])
    saga.begin(0.53, "book_flight", "book_hotel")
    saga.fail(1.031, "book_flight", ("ConnectionResetError", "[Errno 104] Connection reset by peer"), again=1.2)
    saga.begin(1.203, "book_flight", attempt=2)
    saga.succeed(2.105, "book_hotel", "3 rooms")
    saga.worker = PARIS
    saga.succeed(2.31, "book_flight", "LH-2041", attempt=2)
    saga.begin(2.33, "order_visas")
    saga.succeed(3.004, "order_visas", 3)
    _release(saga, 3.02)
    _approved(saga, tape, 61.4, "ann", 1)
    _approved(saga, tape, 93.77, "bob", 2)
    saga.succeed(93.81, "release", [{"actor": "ann"}, {"actor": "bob"}])
    _charge(tape, saga, 93.82, fails=False)
    saga.record(e.SagaCompleted(saga.at(95.2), DONE))


def _charge(tape: Tape, parent: Recording, begin: float, *, fails: bool) -> None:
    """Record the sub-saga of a trip; it gives up after its pivot may have happened, or completes."""
    saga = Recording(tape, f"charge_card-{parent.saga_id.partition('-')[2]}", parent.start + timedelta(seconds=begin))
    parent.begin(begin, "charge", wait=Wait(WaitKind.SAGA, saga.saga_id))
    saga.at(0)
    of, key = Parent(parent.saga_id, "group_trip", 3), saga.saga_id.partition("-")[2]
    start(tape.ledger.context, SagaStart.of(charge_card.definition, Charge("4711", 300), key, parent=of, actor="web"))
    saga.worker = PARIS
    saga.begin(0.01, "authorise")
    saga.succeed(0.4, "authorise", "4711")
    saga.begin(0.41, "capture")
    if not fails:
        saga.succeed(1.2, "capture", 300, pivot=True)
        saga.record(e.SagaCompleted(saga.at(1.2), Raw(b"300")))
        parent.succeed(begin + 1.3, "charge", 300)
        return
    error = ("BankTimeout", "the bank did not answer within 10 seconds; whether the money was taken is not known")
    for attempt, at in enumerate((10.41, 21.9, 34.2), 1):
        if attempt > 1:
            saga.begin(at - 10, "capture", attempt=attempt)
        saga.fail(at, "capture", error, attempt=attempt, again=at + 1.49 if attempt < 3 else None)
    cause = "step capture gave up after attempt 3 (BankTimeout)"
    saga.record(e.InterventionRequired(saga.at(34.2), "capture", e.FORWARD, cause))


def _compensated(tape: Tape) -> None:
    saga = tape.start(group_trip, Trip("Atlantis", ["Ada", "Grace"]), NIGHT + timedelta(minutes=3))
    _items(saga, ["Ada", "Grace"], 0.018, [0.204, 0.377])
    saga.begin(0.4, "book_flight", "book_hotel")
    saga.succeed(1.31, "book_flight", "LH-2041")
    saga.fail(30.398, "book_hotel", ("HotelUnavailable", LONG_ERROR), again=31.9)
    saga.begin(31.9, "book_hotel", attempt=2)
    saga.fail(32.71, "book_hotel", ("StepRejected", "no hotel there\n(below sea level)"), attempt=2)
    at = saga.at(32.72)
    for step in ("book_hotel", "book_flight"):
        saga.record(e.CompensationStarted(at, step, 1, idempotency_key(saga.saga_id, step, e.COMPENSATION)))
    for end, step in ((33.1, "book_flight"), (33.9, "book_hotel")):
        saga.record(e.StepCompensated(saga.at(end), step, 1, DONE))
    saga.undo(33.91, 34.1, "book_seat[1]")
    saga.undo(33.92, 34.3, "book_seat[0]")
    saga.record(e.SagaCompensated(saga.at(34.3), "step book_hotel failed (StepRejected)"))


def _needs_person_in_sub_saga(tape: Tape) -> None:
    saga = tape.start(group_trip, Trip("Oslo", ["Ada"]), NIGHT + timedelta(minutes=7))
    _items(saga, ["Ada"], 0.018, [0.204])
    _bookings(saga, 0.21, 1.1, 0.9)
    saga.record(e.ConditionNotMet(saga.at(1.1), "order_visas"))
    _release(saga, 1.1)
    _approved(saga, tape, 20.0, "ann", 1)
    _approved(saga, tape, 41.0, "bob", 2)
    saga.succeed(41.1, "release", [{"actor": "ann"}, {"actor": "bob"}])
    _charge(tape, saga, 41.1, fails=True)


def _stuck_order(tape: Tape) -> None:
    tape.now = NIGHT + timedelta(minutes=10)
    for sku in ("22633", "22632"):
        received = inventory.StockReceived(tape.now, sku, 40, "delivery 7")
        tape.append(f"stock-{sku}", f"stock-{sku}", (received,), Meta(actor="warehouse"))
    lines = (
        OrderLine("22633", 6, 1110, description="HAND WARMER UNION JACK"),
        OrderLine("22632", 6, 1110, description="HAND WARMER RED POLKA DOT"),
    )
    placed = Order("536366", NIGHT, lines, customer_id="17850", country="United Kingdom")
    saga = tape.start("fulfil_order", placed, NIGHT + timedelta(minutes=11))
    saga.begin(0, "reserve_inventory")
    at = saga.at(0)
    for part, sku in enumerate(("22633", "22632"), 1):
        saga.record(inventory.InventoryReserved(at, "536366", sku, 6, part, 2), stream=f"stock-{sku}")
    saga.succeed(0, "reserve_inventory", {"events": 2})
    saga.begin(0.112, "process_payment")
    at = saga.at(0.112)
    declined = payment.PaymentFailed(at, "536366", "536366", "17850", 2220, "GBP", "payment declined")
    saga.record(declined, stream="payment-536366")
    saga.fail(0.112, "process_payment", ("StepRejected", "payment declined"))
    key = idempotency_key(saga.saga_id, "reserve_inventory", e.COMPENSATION)
    error = Failure("Refused", "stock-22633 was counted by hand, and is locked until the count is booked")
    for attempt, begin in enumerate((0.169, 1.3), 1):
        at = saga.at(begin)
        retry_at = at + timedelta(seconds=1.131) if attempt == 1 else None
        saga.record(
            e.CompensationStarted(at, "reserve_inventory", attempt, key),
            e.CompensationFailed(at, "reserve_inventory", attempt, error, e.Effect.NONE, attempt == 1, retry_at),
        )
    cause = "compensation of step reserve_inventory gave up after attempt 2 (Refused)"
    saga.record(e.InterventionRequired(saga.at(1.3), "reserve_inventory", e.COMPENSATION, cause))


def _worker_died(tape: Tape) -> None:
    saga = tape.start(group_trip, Trip("Kyiv", ["Ada"]), NIGHT + timedelta(minutes=20))
    _items(saga, ["Ada"], 0.018, [0.204])
    saga.begin(0.21, "book_flight", "book_hotel")
    saga.succeed(0.9, "book_hotel", "1 room")
    saga.worker = PARIS
    at = saga.at(61)
    saga.record(e.StepOutcomeUnknown(at, "book_flight", 1, e.FORWARD, BERLIN, at + timedelta(seconds=1)))
    saga.begin(62, "book_flight", attempt=2)
    progress = Raw(b'{"tried":["LH","BA","AF"],"page":99}')
    saga.record(e.StepProgressed(saga.at(90), "book_flight", 2, e.FORWARD, progress))


def _long_names(tape: Tape) -> None:
    city = "Llanfairpwllgwyngyllgogerychwyrndrobwllllantysiliogogogoch, Ynys Môn"
    saga = tape.start(group_trip, Trip(city, ["Ada"]), NIGHT + timedelta(minutes=30))
    _items(saga, ["Ada"], 0.018, [0.204])
    saga.at(60)
    tape.ledger.cancel(saga.saga_id, actor="carol", reason="the customer called, and named another place")
    saga.undo(60.1, 60.4, "book_seat[0]")
    saga.record(e.SagaCompensated(saga.at(60.4), "cancelled by carol: the customer called, and named another place"))


def _parked_process(tape: Tape) -> None:
    saga = Recording(tape, "order_flow-81", NIGHT + timedelta(minutes=32))
    at = saga.at(0)
    articles = (Quantity("22633", 6), Quantity("22632", 1))
    created = order.OrderCreated(at, "81", "17850", "United Kingdom", 2, 2220, "GBP", at, articles)
    saga.record(created, stream="order-81", worker="order", actor="web")
    for part, (sku, quantity) in enumerate((("22633", 6), ("22632", 1)), 1):
        reserved = inventory.InventoryReserved(saga.at(0.2), "81", sku, quantity, part, 2)
        saga.record(reserved, stream=f"stock-{sku}", worker="inventory")
    position = tape.ledger.backend.head().position
    error = Failure("BankTimeout", "the bank did not answer within 10 seconds")
    failed = DeliveryFailed(saga.at(12), "payment", position, "InventoryReserved", 3, error)
    saga.record(failed, stream=f"letter-payment.{position}", worker="payment")
