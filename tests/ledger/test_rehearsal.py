"""Rehearsing one's own sagas without a database: given what is there, when it runs, then look at its events."""

from __future__ import annotations

import asyncio
import inspect
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from sagaledger.domain.errors import DefinitionError, Fail, InvalidInput, RetryAfter, StepRejected
from sagaledger.domain.saga.events import Direction, StepProgressed
from sagaledger.domain.saga.retry_policy import Retry
from sagaledger.domain.saga.saga import Saga
from sagaledger.domain.saga.state import Status
from sagaledger.domain.saga.step import StepContext
from sagaledger.domain.saga.step_state import Progress
from sagaledger.domain.shop import (
    DECLINED_CARD,
    PARTICIPANTS,
    InventoryReleased,
    InventoryReserved,
    Order,
    OrderCancelled,
    OrderCompleted,
    OrderLine,
    PaymentRefunded,
    PaymentSucceeded,
    StockReceived,
    fulfil_order,
)
from sagaledger.infrastructure.testing.plan import PlannedSignal
from sagaledger.infrastructure.testing.rehearsal import rehearse, rehearse_each_failure

from .trip import TRAIN, SeatsFreed, SeatsTaken, Trip, trip

ONCE = Retry(attempts=1)
LONG_AGO = datetime(2019, 1, 1, tzinfo=UTC)
ROME = Trip("Rome", 4)
ORDER = Order("1", LONG_AGO, (OrderLine("71053", 6, 2034),), customer_id="17850")
STOCK = ("stock-71053", [StockReceived(LONG_AGO, "71053", 6)])


def test_a_saga_runs_to_its_end_in_memory() -> None:
    """Its real steps run, and its participants record what they would."""
    played = rehearse(trip, ROME, participants=[TRAIN])

    assert played.state.status is Status.COMPLETED
    assert bytes(played.state.result or b"") == b'"tickets and 4 beds in Rome"'
    assert [(stream, type(event)) for stream, event in played.participant_events] == [("train-Rome", SeatsTaken)]
    assert [run.step for run in played.attempts] == ["book_hotel", "send_tickets"]


def test_what_is_given_is_there() -> None:
    """A participant that has no room left refuses, and the saga turns back."""
    played = rehearse(trip, ROME, participants=[TRAIN], given=[("train-Rome", [SeatsTaken(LONG_AGO, 97)])])

    assert (played.state.status, played.state.cause) == (Status.COMPENSATED, "step take_seats failed (StepRejected)")
    assert played.attempts == []


def test_each_step_that_fails_undoes_those_before_it() -> None:
    """Whichever step is refused, no seat stays taken. Each rehearsal has all that is given, also by an iterator."""
    for step, played in rehearse_each_failure(trip, ROME, StepRejected("no"), participants=iter([TRAIN])):
        assert played.state.cause == f"step {step} failed (StepRejected)"
        assert (
            sum(event.seats * (1 if isinstance(event, SeatsTaken) else -1) for _, event in played.participant_events)
            == 0
        )  # type: ignore[attr-defined]
    assert isinstance(played.participant_events[-1][1], SeatsFreed)


def test_failures_can_be_planned_attempt_by_attempt() -> None:
    """Two attempts fail, the third runs; the wait between them takes no time here, and is on record."""
    errors = [ConnectionError("once"), ConnectionError("twice")]
    started = datetime.now(UTC)

    played = rehearse(trip, ROME, participants=[TRAIN], fail={"book_hotel": errors})

    assert played.state.status is Status.COMPLETED
    assert [run.attempt for run in played.attempts if run.step == "book_hotel"] == [1, 2, 3]
    assert played.saga_events[-1].at - played.saga_events[0].at > timedelta(seconds=60)
    assert datetime.now(UTC) - started < timedelta(seconds=20)


def test_a_planned_failure_says_what_follows() -> None:
    """No attempt follows one that is for good, or that has no further attempt by the policy for its error."""
    walk = Saga("walk", input=int)
    step = walk.step(name="far", retry={ConnectionError: Retry(attempts=9, backoff_seconds=0.0), Exception: ONCE})(
        lambda *_: None
    )
    step.compensation(lambda *_: None)

    asked = rehearse(walk, 1, fail={"far": [ConnectionError(), RetryAfter(3600)]})
    broken = rehearse(walk, 1, fail={"far": [ConnectionError(), Fail("no road")]})
    other = rehearse(walk, 1, fail={"far": [ConnectionError(), ValueError()]})

    assert asked.state.status is Status.COMPENSATED  # `RetryAfter` has the policy of `Exception`: one attempt
    assert [run.direction for run in broken.attempts] == ["forward", "forward", "compensation"]
    assert broken.state.cause == "step far failed (Fail)"
    assert other.state.cause == "step far failed (ValueError)"


def test_the_time_that_a_step_says_passes_at_once() -> None:
    """It is on record."""
    played = rehearse(trip, ROME, participants=[TRAIN], fail={"book_hotel": [RetryAfter(7200)]})

    assert played.state.status is Status.COMPLETED
    assert timedelta(hours=2) < played.saga_events[-1].at - played.saga_events[0].at < timedelta(hours=3)


def test_heartbeats_work_in_a_rehearsal() -> None:
    """What an attempt told last is on record, and the next attempt finds it."""
    walk = Saga("walk", input=int)
    found: list[object] = []

    @walk.step(compensable=False, heartbeat_timeout=10)
    def far(_: int, ctx: StepContext) -> None:
        found.append(ctx.last_progress)
        for mile in range(3):
            ctx.heartbeat(10 * ctx.attempt + mile)
        assert not ctx.cancelled
        if ctx.attempt == 1:
            raise ConnectionError

    played = rehearse(walk, 1)

    assert found == [None, 12]
    told = [bytes(event.progress) for event in played.saga_events if isinstance(event, StepProgressed)]
    assert told == [b"12", b"22"]


def test_each_item_of_a_list_has_progress_of_its_own() -> None:
    """The next attempt at an item finds what that item told, in the direction that it has."""
    walk = Saga("walk", input=int)
    found: list[tuple[int, object]] = []
    turning: list[tuple[int, object]] = []

    def far(item: int, ctx: StepContext) -> None:
        found.append((item, ctx.last_progress))
        ctx.heartbeat(f"item {item}")
        if ctx.attempt == 1:
            raise ConnectionError

    def back(item: int, _: object, ctx: StepContext) -> None:
        turning.append((item, ctx.last_progress))
        if ctx.attempt == 1:
            ctx.heartbeat(f"item {item} back")
            raise ConnectionError

    walk.for_each(items=lambda *_: [5, 6])(far).compensation(back)
    walk.step(name="refuse", compensable=False, retry=ONCE)(lambda *_: None)

    played = rehearse(walk, 1, fail={"refuse": StepRejected("no")})

    assert played.state.status is Status.COMPENSATED
    assert sorted(found, key=str) == [(5, "item 5"), (5, None), (6, "item 6"), (6, None)]
    assert sorted(turning, key=str) == [(5, "item 5 back"), (5, None), (6, "item 6 back"), (6, None)]


def test_what_is_planned_for_a_list_holds_for_its_items() -> None:
    """For all of them, unless something else is planned for one."""
    walk = Saga("walk", input=int)

    @walk.for_each(items=lambda size, _: range(size), name="far", on_failure="collect", retry=ONCE)
    def far(item: int, _: StepContext) -> int:
        return item

    far.compensation(lambda *_: None, retry=ONCE)
    walk.step(name="tell", compensable=False, retry=ONCE)(lambda _, ctx: ctx.result(far))
    no = StepRejected("no")

    planned = rehearse(walk, 4, fail={"far[1]": no}, results={"far": 7, "far[2]": 8})
    failed = rehearse(walk, 2, fail={"far": no})
    stuck = rehearse(walk, 2, fail={"tell": no, ("far", Direction.COMPENSATION): ConnectionError()})

    assert bytes(planned.state.result or b"") == b"[7,null,8,7]"
    assert bytes(failed.state.result or b"") == b"[null,null]"
    assert [i.step for i in stuck.state.interventions] == ["far[0]"]
    for step, played in rehearse_each_failure(walk, 2, no):
        assert bytes(played.state.result or b"") == (b"[null,null]" if step == "far" else b"")


@pytest.mark.parametrize("arrangement", [{"fail": {"fat": OSError()}}, {"results": {"far[1]": 1}}])
def test_a_plan_for_what_is_no_step_is_refused(arrangement: dict[str, Any]) -> None:
    """It would change nothing."""
    walk = Saga("walk", input=int)
    walk.step(name="far", compensable=False)(lambda *_: None)

    with pytest.raises(DefinitionError, match="for no step"):
        rehearse(walk, 1, **arrangement)


@pytest.mark.parametrize("after", [None, ()], ids=["one after the other", "side by side"])
def test_a_step_whose_condition_is_true_is_made_whatever_its_kind(after: tuple[str, ...] | None) -> None:
    """It calls, commands or waits as it would without a condition."""
    walk, visit = Saga("walk", input=int), Saga("visit", input=int)
    visit.step(name="look", compensable=False)(lambda *_: None)

    def yes(_: int, __: StepContext) -> bool:
        return True

    walk.step(name="call", when=yes, after=after, compensable=False)(lambda *_: None)
    walk.local_step(name="first", when=yes, after=after, compensable=False)(lambda *_: [])
    walk.local_step(name="second", when=yes, after=after, compensable=False)(lambda *_: [])
    walk.sleep("nap", seconds=60, when=yes, after=after)
    walk.wait_for("word", when=yes, after=after)
    walk.sub_saga(visit, name="see", when=yes, after=after, compensable=False)(lambda value, _: value)

    played = rehearse(walk, 1, signals=[PlannedSignal("word")])

    assert played.state.status is Status.COMPLETED
    assert {step.forward.progress for step in played.state.steps.values()} == {Progress.DONE}


def test_steps_that_are_left_out_one_after_the_other_are_no_nested_calls() -> None:
    """There may be more of them than calls can be nested."""
    walk = Saga("walk", input=int)
    depths: list[int] = []

    def no(_: int, __: StepContext) -> bool:
        depths.append(len(inspect.stack(context=0)))
        return False

    def nothing(_: int, __: StepContext) -> list[int]:
        depths.append(len(inspect.stack(context=0)))
        return []

    for number in range(3):
        walk.step(name=f"s{number}", when=no, compensable=False)(lambda *_: None)
        walk.for_each(name=f"l{number}", items=nothing, compensable=False)(lambda *_: None)

    assert rehearse(walk, 1).state.status is Status.COMPLETED
    assert depths[::2] == [depths[0]] * 3
    assert depths[1::2] == [depths[1]] * 3


def test_a_compensation_can_be_made_to_fail() -> None:
    """When it gives up the saga waits for a person."""
    fail = {"send_tickets": StepRejected("no"), ("book_hotel", Direction.COMPENSATION): ConnectionError("no answer")}

    played = rehearse(trip, ROME, participants=[TRAIN], fail=fail)

    assert played.state.status is Status.NEEDS_INTERVENTION
    assert [(i.step, i.direction) for i in played.state.interventions] == [("book_hotel", Direction.COMPENSATION)]


def test_a_result_can_stand_in_for_a_step() -> None:
    """The step is not called, and those after it see the result."""
    played = rehearse(trip, ROME, participants=[TRAIN], results={"book_hotel": "a tent"})

    assert bytes(played.state.result or b"") == b'"tickets and a tent"'


def test_a_rehearsal_runs_inside_an_event_loop_too() -> None:
    """As in a test that is a coroutine itself."""

    async def scene() -> Status:
        return rehearse(trip, ROME, participants=[TRAIN]).state.status

    assert asyncio.run(scene()) is Status.COMPLETED


def test_an_input_that_does_not_fit_is_refused() -> None:
    """As when the saga is started."""
    with pytest.raises(InvalidInput, match="seats"):
        rehearse(trip, {"place": "Rome", "seats": "many"})


def test_the_shops_orders_can_be_rehearsed() -> None:
    """An order with stock completes; by a declined card it is cancelled, and the stock is free again."""
    good = rehearse(fulfil_order, ORDER, participants=PARTICIPANTS, given=[STOCK])
    declined = rehearse(
        fulfil_order,
        Order("2", LONG_AGO, ORDER.lines, payment_method=DECLINED_CARD),
        participants=PARTICIPANTS,
        given=[STOCK],
    )

    assert OrderCompleted in [type(event) for _, event in good.participant_events]
    kinds = [type(event) for _, event in declined.participant_events]
    assert declined.state.status is Status.COMPENSATED
    assert kinds[-2:] == [InventoryReleased, OrderCancelled]


@pytest.mark.parametrize("error", [StepRejected("no"), ConnectionError("no answer")])
def test_whichever_step_of_an_order_fails_goods_and_money_are_back(error: Exception) -> None:
    """Each step of the shop's saga in turn fails for good."""
    arrangement = {"participants": PARTICIPANTS, "given": [STOCK]}
    for _, played in rehearse_each_failure(fulfil_order, ORDER, error, **arrangement):
        kinds = [type(event) for _, event in played.participant_events]
        assert played.state.status is Status.COMPENSATED
        assert kinds.count(InventoryReserved) == kinds.count(InventoryReleased)
        assert kinds.count(PaymentSucceeded) == kinds.count(PaymentRefunded)
        assert kinds[-1] is OrderCancelled
