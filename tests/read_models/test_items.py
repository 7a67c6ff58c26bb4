"""The items of a for-each step in the views: each is a row of `saga_steps`, and `sagas` keeps a few numbers of them."""

from __future__ import annotations

from typing import Any

import pytest

from sagaledger import Saga, SagaState, StepContext, StepRejected, rehearse
from sagaledger.domain.saga.evolve import rebuild
from sagaledger.projections.projection import Key, Row
from sagaledger.projections.saga.saga_steps import saga_steps
from sagaledger.projections.saga.sagas import sagas

from .saga_events import SAGA_ID, recorded

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
    whole: Row | None = None
    rows: dict[Key, Row] = {}

    for count, event in enumerate(events, 1):
        (rows[SAGA_ID,],) = sagas.fold(sagas.touches([event]), rows).written
        (whole,) = sagas.fold(sagas.touches(events[:count]), {}).written
        assert whole == rows[SAGA_ID,]
        assert whole["status"] == rebuild(SAGA_ID, [each.event for each in events[:count]]).status.value


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
