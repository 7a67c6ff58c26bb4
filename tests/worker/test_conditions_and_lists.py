"""Steps with a condition, and steps over a list, as a worker makes them."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
from msgspec import Struct

from sagaledger.domain.errors import StepRejected
from sagaledger.domain.saga.events import ConditionNotMet, ItemsListed, StepStarted
from sagaledger.domain.saga.retry_policy import Retry
from sagaledger.domain.saga.saga import Saga
from sagaledger.domain.saga.state import SagaState, Status
from sagaledger.domain.saga.step_context import SKIPPED, StepContext
from sagaledger.infrastructure.ledger.app import App
from sagaledger.infrastructure.ledger.ledger import Ledger

from .conftest import OpenLedger, play, short_history, worker_on

ONCE = Retry(attempts=1)


class Traveller(Struct):
    """An item that is read as its type."""

    name: str
    age: int = 30


def _run(open_ledger: OpenLedger, saga: Saga[Any], value: Any) -> tuple[SagaState, Ledger]:
    ledger = open_ledger(App(sagas=[saga]))

    async def scene() -> SagaState:
        async with worker_on(ledger) as worker:
            return await worker.outcome((await worker.start(saga, value, key="1")).saga_id)

    return play(scene()), ledger


@pytest.mark.parametrize("kind", ["call", "local", "sleep", "signal", "sub_saga"])
def test_a_step_whose_condition_is_false_is_skipped(open_ledger: OpenLedger, kind: str) -> None:
    """Whatever its kind: that is on record, nothing is started or undone, and later steps can tell."""
    trip, visit = Saga("trip", input=int), Saga("visit", input=int)
    seen: list[Any] = []

    @visit.step(compensable=False)
    def look(_: int, __: StepContext) -> None:
        """The step of a sub-saga."""

    @trip.step(compensable=False)
    def first(value: int, _: StepContext) -> int:
        return value

    def no(_: int, ctx: StepContext) -> bool:
        return ctx.result(first) != 1

    match kind:
        case "call":
            trip.step(name="maybe", when=no)(lambda *_: None).compensation(lambda *_: seen.append("undone"))
        case "local":
            trip.local_step(name="maybe", when=no)(lambda *_: []).compensation(lambda *_: seen.append("undone") or [])
        case "sleep":
            trip.sleep("maybe", seconds=1000, when=no)
        case "signal":
            trip.wait_for("maybe", when=no)
        case _:
            trip.sub_saga(visit, name="maybe", when=no, compensable=False)(lambda value, _: value)

    @trip.step(compensable=False)
    def last(_: int, ctx: StepContext) -> None:
        seen.append(ctx.result("maybe"))
        raise StepRejected("turn back")

    state, ledger = _run(open_ledger, trip, 1)

    assert state.status is Status.COMPENSATED
    assert seen == [SKIPPED]
    assert short_history(ledger, state.saga_id) == [
        "SagaStarted", "first started", "first succeeded", "ConditionNotMet", "last started", "last failed",
        "SagaCompensated",
    ]  # fmt: skip


def test_a_condition_that_fails_is_a_step_that_fails(open_ledger: OpenLedger) -> None:
    """It had no effect, and another attempt would not help: what was done before is undone."""
    trip = Saga("trip", input=dict[str, int])
    undone: list[str] = []

    @trip.step()
    def first(_: dict[str, int], __: StepContext) -> None:
        """Has something to undo."""

    @first.compensation
    def undo(_: dict[str, int], __: None, ctx: StepContext) -> None:
        undone.append(ctx.step)

    @trip.step(when=lambda trip, _: trip["gifts"] > 0, compensable=False)
    def wrap(_: dict[str, int], __: StepContext) -> None:
        """Never called."""

    state, _ = _run(open_ledger, trip, {})

    assert (state.status, state.cause, undone) == (Status.COMPENSATED, "step wrap failed (KeyError)", ["first"])
    assert (state.step("wrap").forward.attempt, state.step("wrap").forward.possibly_executed) == (1, False)


def test_each_item_is_made_with_a_key_of_its_own_and_no_more_at_once_than_may(open_ledger: OpenLedger) -> None:
    """The action takes an item as its type, and the results come in the order of the items."""
    trip = Saga("trip", input=list[Traveller])
    keys: set[str] = set()
    running: list[int] = [0]
    most: list[int] = [0]
    full = asyncio.Event()

    @trip.for_each(items=lambda travellers, _: travellers, parallel=3)
    async def book(traveller: Traveller, ctx: StepContext) -> str:
        keys.add(ctx.key)
        running[0] += 1
        most[0] = max(most[0], running[0])
        if running[0] == 3:
            full.set()
        await full.wait()  # until there are as many as may be
        running[0] -= 1
        return f"{traveller.name} {traveller.age}"

    @book.compensation
    async def unbook(_: Traveller, __: str | None, ___: StepContext) -> None:
        """Not called."""

    @trip.step(compensable=False)
    def bill(_: list[Traveller], ctx: StepContext) -> list[str | None]:
        return ctx.result(book)

    state, ledger = _run(open_ledger, trip, [Traveller(name) for name in "abcdefg"])

    assert bytes(state.result or b"") == b'["a 30","b 30","c 30","d 30","e 30","f 30","g 30"]'
    assert (len(keys), most[0]) == (7, 3)
    starts = [r.event.step for r in ledger.history(state.saga_id) if isinstance(r.event, StepStarted)]
    assert starts == ["book", *(f"book[{index}]" for index in range(7)), "bill"]


def test_an_item_that_fails_turns_the_saga_back(open_ledger: OpenLedger) -> None:
    """The items that happened are undone, each with its own result, the last ones first."""
    trip = Saga("trip", input=int)
    undone: list[tuple[int, str | None]] = []

    @trip.for_each(items=lambda count, _: range(count), parallel=1, retry=ONCE)
    def book(item: int, _: StepContext) -> str:
        if item == 2:
            raise OSError("gone")
        return f"seat {item}"

    @book.compensation
    def unbook(item: int, seat: str | None, _: StepContext) -> None:
        undone.append((item, seat))

    state, _ = _run(open_ledger, trip, 5)

    assert (state.status, state.cause) == (Status.COMPENSATED, "step book failed (ItemsFailed)")
    assert undone == [(2, None), (1, "seat 1"), (0, "seat 0")]


def test_failures_can_be_collected(open_ledger: OpenLedger) -> None:
    """The other items go on, and a later step sees how each ended."""
    trip = Saga("trip", input=int)

    @trip.for_each(items=lambda count, _: range(count), on_failure="collect", retry=ONCE, compensable=False)
    def book(item: int, _: StepContext) -> int:
        if item % 2:
            raise StepRejected(f"no {item}")
        return item

    @trip.step(compensable=False)
    def report(_: int, ctx: StepContext) -> list[Any]:
        return [outcome.error.message if outcome.error else outcome.result for outcome in ctx.outcomes(book)]

    state, _ = _run(open_ledger, trip, 4)

    assert (state.status, bytes(state.result or b"")) == (Status.COMPLETED, b'[0,"no 1",2,"no 3"]')
    assert bytes(state.step("book").forward.result or b"") == b'{"items":4,"failed":2,"skipped":0}'


@pytest.mark.parametrize(
    ("items", "error", "text"),
    [
        (lambda *_: [object()], "NotSerialisable", "the item book[0] is a object that is not JSON"),
        (lambda *_: ["x"], "NotSerialisable", "the item book[0] is a str that cannot be read back"),
        (lambda *_: range(10_001), "InvalidInput", "more than the 10,000 items that it may have"),
        (lambda *_: 1, "TypeError", "'int' object is not iterable"),
    ],
    ids=["no json", "another type", "too many", "no list"],
)
def test_a_list_that_cannot_be_made_fails_the_step(open_ledger: OpenLedger, items: Any, error: str, text: str) -> None:
    """Before anything happened."""
    trip = Saga("trip", input=int)

    @trip.for_each(items=items, compensable=False)
    def book(_: int, __: StepContext) -> None:
        """Never called."""

    state, ledger = _run(open_ledger, trip, 1)

    failure = state.step("book").forward.error
    assert failure is not None
    assert (state.status, failure.type) == (Status.COMPENSATED, error)
    assert text in failure.message
    assert not state.items
    assert not [r for r in ledger.history(state.saga_id) if isinstance(r.event, ItemsListed)]


def test_a_list_of_large_items_is_recorded_in_parts(open_ledger: OpenLedger) -> None:
    """No event has more than one may; and an empty list is done at once."""
    trip = Saga("trip", input=int)

    @trip.for_each(items=lambda count, _: ["x" * 100_000] * count, compensable=False)
    async def book(item: str, _: StepContext) -> int:
        return len(item)

    @trip.for_each(items=lambda *_: [], compensable=False)
    async def never(_: str, __: StepContext) -> None:
        """Has nothing to do."""

    state, ledger = _run(open_ledger, trip, 5)

    assert state.status is Status.COMPLETED
    listed = [r.event for r in ledger.history(state.saga_id) if isinstance(r.event, ItemsListed)]
    assert [(e.step, e.first, len(e.items), e.total) for e in listed] == [
        ("book", 0, 2, 5), ("book", 2, 2, 5), ("book", 4, 1, 5), ("never", 0, 0, 0),
    ]  # fmt: skip


def test_a_person_decides_about_one_item(open_ledger: OpenLedger) -> None:
    """Whose compensation was given up; the others are undone meanwhile or after."""
    trip = Saga("trip", input=int)
    undone: list[int] = []

    @trip.for_each(items=lambda count, _: range(count), parallel=1)
    def book(item: int, _: StepContext) -> int:
        return item

    @book.compensation(retry=ONCE)
    def unbook(item: int, _: int | None, __: StepContext) -> None:
        if item == 1:
            raise OSError("gone")
        undone.append(item)

    trip.step(name="last", compensable=False, retry=ONCE)(_refuse)
    ledger = open_ledger(App(sagas=[trip]))

    async def scene() -> SagaState:
        async with worker_on(ledger) as worker:
            saga_id = (await worker.start(trip, 3, key="1")).saga_id
            stuck = await worker.outcome(saga_id)
            assert [(i.step, i.cause) for i in stuck.interventions] == [
                ("book[1]", "compensation of step book[1] gave up after attempt 1 (OSError)")
            ]
            ledger.intervene(saga_id, "skip", actor="ann", reason="undone by hand", step="book[1]")
            return await worker.outcome(saga_id)

    assert play(scene()).status is Status.COMPENSATED
    assert undone == [2, 0]


def _refuse(*_: Any) -> None:
    raise StepRejected("turn back")


def test_the_decision_is_rebuilt_from_the_events_alone(open_ledger: OpenLedger) -> None:
    """Another worker takes over where the first left, and asks the code of the definition nothing again."""
    asked: list[str] = []
    begun = asyncio.Event()

    async def hang(*_: Any) -> None:
        begun.set()
        await asyncio.Event().wait()

    def app(is_first: bool) -> App:
        trip = Saga("trip", input=int)

        def when(*_: Any) -> bool:
            asked.append("when")
            return False

        def items(*_: Any) -> list[int]:
            asked.append("items")
            return [1, 2]

        trip.step(name="maybe", when=when, compensable=False)(lambda *_: None)
        trip.for_each(name="each", items=items, compensable=False, retry=Retry(attempts=2, backoff_seconds=0.0))(
            hang if is_first else _accept
        )
        return App(sagas=[trip])

    first = open_ledger(app(is_first=True))

    async def leave() -> str:
        async with worker_on(first, drain_seconds=0.1) as worker:
            saga_id = (await worker.start("trip", 1, key="1")).saga_id
            await begun.wait()
            return saga_id

    saga_id = play(leave())
    first.close()
    second = open_ledger(app(is_first=False))

    async def go_on() -> SagaState:
        async with worker_on(second) as worker:
            return await worker.outcome(saga_id)

    assert play(go_on()).status is Status.COMPLETED
    assert asked == ["when", "items"]
    recorded = [r.event for r in second.history(saga_id) if isinstance(r.event, (ConditionNotMet, ItemsListed))]
    assert len(recorded) == 2


def _accept(*_: Any) -> None:
    """Succeeds."""
