"""The saga derived from a process's events, and the events that its declaration does not allow."""

from __future__ import annotations

from datetime import timedelta

import pytest

from sagaledger.domain.choreography.choreography import Choreography, Stage
from sagaledger.domain.choreography.dead_letter import DeliveryFailed, DeliverySettled
from sagaledger.domain.choreography.derive import derive
from sagaledger.domain.choreography.derived_saga import DerivedSaga, awaited, stalls_at
from sagaledger.domain.choreography.service import StepSkipped
from sagaledger.domain.errors import DefinitionError
from sagaledger.domain.event import Event
from sagaledger.domain.recorded_event import Meta, RecordedEvent
from sagaledger.domain.saga.event_parts import Failure
from sagaledger.domain.saga.events import Direction
from sagaledger.domain.saga.state import Status
from sagaledger.domain.saga.step_state import Progress
from sagaledger.domain.shop import (
    InventoryReleased,
    InventoryReserved,
    LoyaltyPointsAwarded,
    OrderCancelled,
    OrderCompleted,
    OrderCreated,
    PaymentFailed,
    PaymentRefunded,
    PaymentSucceeded,
    ShipmentPrepared,
    StockReceived,
)
from sagaledger.domain.shop.choreographies import order_choreography

from .conftest import NOON

CREATED = OrderCreated(NOON, "1", "c1", "France", 1, 500, "GBP", NOON)
RESERVED = InventoryReserved(NOON, "1", "sku1", 2, 1, 1)
PAID = PaymentSucceeded(NOON, "1", "1", "c1", 500, "GBP")
DECLINED = PaymentFailed(NOON, "1", "1", "c1", 500, "GBP", "payment declined")
SHIPPED = ShipmentPrepared(NOON, "1", "SL1", ())
AWARDED = LoyaltyPointsAwarded(NOON, "c1", "1", 5)
COMPLETED = OrderCompleted(NOON, "1")
CANCELLED = OrderCancelled(NOON, "1", "payment declined")
RELEASED = InventoryReleased(NOON, "1", "sku1", 2)
REFUNDED = PaymentRefunded(NOON, "1", "1", "c1", 500, "GBP")


def derived_from(*events: Event) -> DerivedSaga:
    """Returns the process `order_flow-1`, derived from these events."""
    derived = DerivedSaga.empty("order_flow-1")
    for position, event in enumerate(events, 1):
        recorded = RecordedEvent(position, "any-1", position, event, "order_flow-1", None, Meta(), NOON)
        derived, _ = derive(order_choreography, derived, recorded)
    return derived


def test_a_process_that_went_forward_is_completed() -> None:
    """Each event means that a stage is done, and that the process waits for the next one."""
    derived = derived_from(CREATED, RESERVED, PAID, SHIPPED, AWARDED, COMPLETED)

    assert derived.violations == ()
    assert derived.state.status is Status.COMPLETED
    assert {step.forward.progress for step in derived.state.steps.values()} == {Progress.DONE}


def test_a_process_that_was_undone_is_compensated() -> None:
    """It ends with the last compensation, and its cause is the reason for the abort."""
    derived = derived_from(CREATED, RESERVED, DECLINED, CANCELLED, RELEASED)

    assert derived.violations == ()
    assert (derived.state.status, derived.state.cause) == (Status.COMPENSATED, "payment declined")


def test_a_stage_recorded_in_parts_is_done_with_the_last_part() -> None:
    """Until then the process waits for that service."""
    first = InventoryReserved(NOON, "1", "sku1", 2, 1, 2)
    second = InventoryReserved(NOON, "1", "sku2", 2, 2, 2)

    assert awaited(order_choreography, derived_from(CREATED, first).state) == ("reserve_inventory", "inventory")
    assert awaited(order_choreography, derived_from(CREATED, first, second).state) == ("process_payment", "payment")


@pytest.mark.parametrize(
    ("events", "problem"),
    [
        ((CREATED, PAID), "waited for reserve_inventory"),
        ((CREATED, RESERVED, RESERVED), "came again: reserve_inventory was done"),
        ((CREATED, RESERVED, DECLINED, CANCELLED, REFUNDED), "undoes nothing: process_payment was not done"),
        ((CREATED, RESERVED, PAID, SHIPPED, AWARDED, COMPLETED, REFUNDED), "after the process had ended as completed"),
        ((CREATED, RESERVED, COMPLETED), "although process_payment was not done"),
        ((CREATED, RESERVED, RELEASED), "while the process went forward"),
        ((CREATED, CREATED), "came again: the process had begun"),
        ((CREATED, RESERVED, PAID, DECLINED), "after process_payment was done"),
        ((CREATED, RESERVED, DECLINED, CANCELLED, CANCELLED), "came again: the process had turned back"),
        ((CREATED, StockReceived(NOON, "sku1", 1)), "is no event of this process"),
        ((CREATED, PaymentSucceeded(NOON, "2", "2", "c1", 500, "GBP")), "is about '2'"),
        ((RESERVED,), "came before OrderCreated"),
    ],
)
def test_an_event_that_the_declaration_does_not_allow_is_a_finding(events: tuple[Event, ...], problem: str) -> None:
    """Nothing fails, since the event is in the log, and the saga says what was wrong with it."""
    derived = derived_from(*events)

    [violation] = derived.violations
    assert problem in violation.problem
    assert (violation.position, violation.topic) == (len(events), type(events[-1]).schema.name)


def test_a_payment_out_of_turn_still_has_to_be_refunded() -> None:
    """An event counts, whether the declaration allows it there or not."""
    derived = derived_from(CREATED, PAID, CANCELLED, REFUNDED)

    assert derived.state.step("process_payment").compensation.progress is Progress.DONE
    assert len(derived.violations) == 1


def test_an_order_cancelled_while_a_service_works_ends_when_that_service_skips() -> None:
    """The stage in progress counts as refused."""
    cancelled = OrderCancelled(NOON, "1", "the customer called")
    skipped = StepSkipped(
        NOON, "payment", "InventoryReserved", "process_payment", Direction.FORWARD, "the order is cancelled"
    )

    open_ = derived_from(CREATED, RESERVED, cancelled, RELEASED)
    ended = derived_from(CREATED, RESERVED, cancelled, RELEASED, skipped)

    assert open_.state.end is None
    assert (ended.state.status, ended.violations) == (Status.COMPENSATED, ())


def test_an_order_cancelled_while_a_reaction_is_to_be_tried_again_is_not_over() -> None:
    """The service may still do its step, so the process ends only when that service has recorded its reply."""
    failed = DeliveryFailed(NOON, "payment", 2, "InventoryReserved", 1, Failure("OSError", "no line"), NOON)
    cancelled = OrderCancelled(NOON, "1", "the customer called")
    skipped = StepSkipped(
        NOON, "payment", "InventoryReserved", "process_payment", Direction.FORWARD, "the order is cancelled"
    )

    open_ = derived_from(CREATED, RESERVED, failed, cancelled, RELEASED)
    ended = derived_from(CREATED, RESERVED, failed, cancelled, RELEASED, DeliverySettled(NOON, "payment", 2), skipped)

    assert open_.state.end is None
    assert (ended.state.status, ended.violations) == (Status.COMPENSATED, ())


def test_a_process_without_events_for_too_long_is_stalled_at_the_step_that_it_waits_for() -> None:
    """A process that has ended never stalls."""
    waiting = derived_from(CREATED, RESERVED).state

    assert stalls_at(order_choreography, waiting) == NOON + timedelta(seconds=order_choreography.stall_timeout_seconds)
    assert awaited(order_choreography, waiting) == ("process_payment", "payment")
    assert stalls_at(order_choreography, derived_from(CREATED, RESERVED, DECLINED, CANCELLED, RELEASED).state) is None


def test_a_process_all_of_whose_stages_are_done_waits_for_its_closing_service() -> None:
    """It waits for the event that ends it."""
    assert awaited(order_choreography, derived_from(CREATED, RESERVED, PAID, SHIPPED, AWARDED).state) == (
        "OrderCompleted",
        "order",
    )


def test_a_choreography_whose_events_mean_two_things_is_refused() -> None:
    """Its saga could not be derived from its events."""
    with pytest.raises(DefinitionError, match="two meanings"):
        Choreography(
            "twice",
            version=1,
            begins=OrderCreated,
            stages=[Stage("pay", "payment", PaymentSucceeded), Stage("again", "bank", PaymentSucceeded)],
            completes=OrderCompleted,
            ending_service="order",
            key=lambda event: event.order_id,
        )
