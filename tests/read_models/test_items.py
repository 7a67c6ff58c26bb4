"""The items of a for-each step in the views: each is a row of `saga_steps`, and `sagas` keeps a few numbers of them."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest
from msgspec import Raw

from sagaledger import Retry, Saga, SagaState, StepContext, StepRejected, rehearse
from sagaledger.domain.event import Event
from sagaledger.domain.recorded_event import RecordedEvent
from sagaledger.domain.saga.event_parts import Failure, Wait, WaitKind
from sagaledger.domain.saga.events import (
    Action,
    CompensationFailed,
    CompensationStarted,
    Direction,
    Effect,
    InterventionRequired,
    InterventionResolved,
    ItemsListed,
    SagaStarted,
    StepCompensated,
    StepFailed,
    StepStarted,
    StepSucceeded,
)
from sagaledger.domain.saga.evolve import fold_all, rebuild
from sagaledger.infrastructure.cli.output.documents import state_document
from sagaledger.infrastructure.cli.output.event_text import describe
from sagaledger.infrastructure.cli.output.saga_text import saga_text
from sagaledger.infrastructure.cli.output.table import Table
from sagaledger.infrastructure.ledger.possible_actions import waits_of
from sagaledger.infrastructure.ledger.saga_overview import SagaOverview
from sagaledger.projections.projection import Key, Row
from sagaledger.projections.saga.saga_steps import saga_steps
from sagaledger.projections.saga.sagas import sagas

from .saga_events import SAGA_ID, recorded
from .shop import OPENING

TRIP = Saga("trip", input=dict[str, Any])


@TRIP.step(compensable=False, when=lambda trip, _: bool(trip["gifts"]))
def wrap_gift(_trip: dict[str, Any], _ctx: StepContext) -> None:
    """A step that may be skipped."""


@TRIP.for_each(items=lambda trip, _: range(trip["travellers"]), parallel=3)
def book(traveller: int, ctx: StepContext) -> str:
    """Fails for one traveller, if the trip says so."""
    if traveller == ctx.input["refused"]:
        raise StepRejected("no seat")
    return f"seat {traveller}"


@book.compensation
def unbook(_traveller: int, _seat: str | None, _ctx: StepContext) -> None:
    """Undoes one."""


def _trip(travellers: int, refused: int | None) -> tuple[SagaState, list[Any]]:
    done = rehearse(TRIP, {"travellers": travellers, "refused": refused, "gifts": 0})
    return done.state, recorded(done.saga_events)


@pytest.mark.parametrize("refused", [None, 0, 7])
def test_the_row_of_a_saga_is_the_same_however_its_events_came(refused: int | None) -> None:
    """Event by event, when the state of the items is stored between two, or all in one batch."""
    _, events = _trip(8, refused)

    _same_row_however_they_came(events)


def _same_row_however_they_came(events: list[RecordedEvent]) -> None:
    rows: dict[Key, Row] = {}
    for count, event in enumerate(events, 1):
        (rows[SAGA_ID,],) = sagas.fold(sagas.touches([event]), rows).written
        (whole,) = sagas.fold(sagas.touches(events[:count]), {}).written
        assert whole == rows[SAGA_ID,]
        assert whole["status"] == rebuild(SAGA_ID, [each.event for each in events[:count]]).status.value


def test_a_decision_of_a_person_about_an_item_leaves_the_same_row() -> None:
    """Whether its compensation is tried again after it succeeded, or after it was in doubt."""
    at, unknown = OPENING, Failure("OSError", "gone")
    events: list[Event] = [
        SagaStarted(at, "trip", 1, "f", Raw(b"1")),
        StepStarted(at, "book", 1, "k", Wait(WaitKind.ITEMS)),
        ItemsListed(at, "book", 0, 2, (Raw(b"1"), Raw(b"2"))),
        StepStarted(at, "book[0]", 1, "k"),
        StepStarted(at, "book[1]", 1, "k"),
        StepFailed(at, "book[0]", 1, unknown, Effect.UNKNOWN, retryable=True, retry_at=at),
        StepStarted(at, "book[0]", 2, "k"),
        StepSucceeded(at, "book[0]", 2, Raw(b"1")),
        StepFailed(at, "book[1]", 1, unknown, Effect.UNKNOWN, retryable=False),
        StepFailed(at, "book", 1, unknown, Effect.NONE, retryable=False),
    ]
    for item in ("book[1]", "book[0]"):
        events += [
            CompensationStarted(at, item, 1, "k"),
            CompensationFailed(at, item, 1, unknown, Effect.UNKNOWN, retryable=True),
            InterventionRequired(at, item, Direction.COMPENSATION, "stuck"),
            InterventionResolved(at, item, Direction.COMPENSATION, Action.RETRY, "ann", "again"),
            CompensationStarted(at, item, 2, "k"),
            StepCompensated(at, item, 2, Raw(b"1")),
        ]
    _same_row_however_they_came(recorded(events))


def test_items_are_rows_and_a_skipped_step_is_one_without_an_attempt() -> None:
    """Each item has its name, attempts and compensation."""
    _, events = _trip(3, 2)

    rows = {(row["step"], row["direction"]): row for row in saga_steps.fold(saga_steps.touches(events), {}).written}

    assert {key: row["status"] for key, row in rows.items()} == {
        ("wrap_gift", "forward"): "skipped",
        ("book", "forward"): "failed",
        ("book[0]", "forward"): "succeeded",
        ("book[1]", "forward"): "succeeded",
        ("book[2]", "forward"): "failed",
        ("book[0]", "compensation"): "succeeded",
        ("book[1]", "compensation"): "succeeded",
    }
    assert rows["wrap_gift", "forward"]["attempt"] == 0
    assert rows["book", "forward"]["waits_for"] == "items"


def test_the_state_that_the_view_keeps_does_not_grow_with_the_items() -> None:
    """Only those that are under way are in it."""
    small, large = (_longest_state(_trip(count, None)[1]) for count in (10, 500))

    assert large < small + 20


def _longest_state(events: list[Any]) -> int:
    rows: dict[Key, Row] = {}
    longest = 0
    for event in events:
        (rows[SAGA_ID,],) = sagas.fold(sagas.touches([event]), rows).written
        longest = max(longest, len(rows[SAGA_ID,]["state"] or ""))
    return longest


def test_the_document_of_a_saga_has_each_item_as_far_as_they_are_listed() -> None:
    """Also at a version between two events that list them."""
    at = OPENING
    state = rebuild(
        SAGA_ID,
        [
            SagaStarted(at, "trip", 1, "f", Raw(b"1")),
            StepStarted(at, "book", 1, "k", Wait(WaitKind.ITEMS)),
            ItemsListed(at, "book", 0, 3, (Raw(b'"a"'), Raw(b'"b"'))),
        ],
    )
    whole = fold_all(state, [ItemsListed(at, "book", 2, 3, (Raw(b'"c"'),)), StepStarted(at, "book[0]", 1, "k")])

    part, all_of_them = (state_document(each)["items"]["book"] for each in (state, whole))

    assert (part["total"], [each["item"] for each in part["states"].values()]) == (3, ["a", "b"])
    assert [each["item"] for each in all_of_them["states"].values()] == ["a", "b", "c"]
    assert all_of_them["states"]["0"]["forward"]["progress"] == "running"
    assert (all_of_them["ended"], all_of_them["collect"]) == (0, False)


def test_a_saga_whose_items_are_to_be_tried_again_says_which_is_next() -> None:
    """Beside the step that waits for its items."""
    at, later, latest = (OPENING + timedelta(seconds=seconds) for seconds in (0, 5, 9))
    events: list[Event] = [
        SagaStarted(at, "trip", 1, "f", Raw(b"1")),
        StepStarted(at, "book", 1, "k", Wait(WaitKind.ITEMS)),
        ItemsListed(at, "book", 0, 3, (Raw(b"1"),) * 3),
        *(StepStarted(at, f"book[{index}]", 1, "k") for index in range(3)),
        StepFailed(at, "book[0]", 1, Failure("x", "y"), Effect.UNKNOWN, retryable=True, retry_at=latest),
        StepFailed(at, "book[1]", 1, Failure("x", "y"), Effect.UNKNOWN, retryable=True, retry_at=later),
        StepSucceeded(at, "book[2]", 1, Raw(b"1")),
    ]

    assert [(wait.step, wait.until) for wait in waits_of(rebuild(SAGA_ID, events))] == [
        ("book", None), ("book[1]", later),
    ]  # fmt: skip
    assert not [*waits_of(rebuild(SAGA_ID, events[:-1]))]


@pytest.mark.parametrize(("size", "shown"), [(20, 21), (21, 9), (250, 101)])
def test_the_screen_of_a_saga_has_no_more_attempts_than_fit(size: int, shown: int) -> None:
    """Of a long list only the latest hundred that did not succeed; of a short one, all."""
    trip = Saga("trip", input=int)

    @trip.for_each(
        items=lambda count, _: range(count), on_failure="collect", retry=Retry(attempts=1), compensable=False
    )
    def book(item: int, _ctx: StepContext) -> None:
        if item < 8 or item >= 100:
            raise StepRejected("no seat")

    done = rehearse(trip, size)
    events = recorded(done.saga_events)
    rows = saga_steps.fold(saga_steps.touches(events), {}).written
    attempts = sorted(rows, key=lambda row: (row["started_at"], row["step"]))

    blocks = [*saga_text(SagaOverview(done.state, events, attempts, None, [], [], unattended=False), [])]

    [table] = [block for block in blocks if isinstance(block, Table)]
    assert len(table.rows) == shown
    assert all(len(block) <= 80 for block in blocks if isinstance(block, str))
    items = {row[0] for row in table.rows} - {"book"}
    assert items == {f"book[{index}]" for index in (range(150, 250) if size == 250 else range(min(size, shown - 1)))}


@pytest.mark.parametrize(
    ("first", "size", "total", "text"),
    [(0, 3, 3, "3 items"), (0, 1, 1, "1 item"), (0, 0, 0, "0 items"), (2, 2, 9, "9 items, here 2 to 3")],
)
def test_a_part_of_a_list_says_which_part_it_is(first: int, size: int, total: int, text: str) -> None:
    """The whole list has no need to."""
    assert describe(ItemsListed(OPENING, "book", first, total, (Raw(b"1"),) * size)).detail == text
