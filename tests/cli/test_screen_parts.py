"""Parts of screens that the ledger of the golden files does not show."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import UTC, datetime
from typing import Any

import pytest

from sagaledger import Saga, StepContext
from sagaledger.infrastructure.cli.output.definitions_screen import definitions_screen
from sagaledger.infrastructure.cli.output.projections_screen import projections_screen
from sagaledger.infrastructure.cli.output.screen import Line
from sagaledger.infrastructure.cli.output.state_fields import changed_fields, is_seen
from sagaledger.infrastructure.ledger.definition_usage import VersionUsage

NOON = datetime(2026, 3, 1, 12, tzinfo=UTC)
HERE, THERE = "berlin pid:[4026531836]-4711-1", "paris pid:[4026532201]-77-3"


def _view(name: str, position: int, **more: Any) -> dict[str, Any]:
    row = {
        "name": name,
        "generation": 1,
        "version": 2,
        "position": position,
        "lag_events": 100 - position,
        "status": "live",
        "stopped_at_position": None,
        "error": None,
        "updated_at": NOON,
        "public": True,
        "followers": [HERE],
    }
    return {**row, **more}


def _texts(lines: Iterable[Line]) -> list[str]:
    return [line.text for line in lines]


def test_views_that_are_stopped_or_behind_are_named_first() -> None:
    """With what stopped one on lines of its own, and who follows each by a short name."""
    rows = [
        _view("orders", 100, followers=[HERE, THERE]),
        _view("payments", 40, status="stopped", stopped_at_position=41, error="KeyError: 'amount' in PaymentSucceeded"),
        _view("sagas", 93),
        _view("sagas__v7", 12, public=False, followers=[]),
    ]
    assert _texts(projections_screen(rows, 100, 80)) == [
        "stopped: payments",
        "behind the head @100, by up to 7 events: sagas",
        "",
        "times: 2026-03-01, UTC",
        "VIEW       VERSION  POSITION  LAG  STATUS   UPDATED   FOLLOWED BY",
        "orders           2       100    0  live     12:00:00  berlin/4711-1, paris/77-3",
        "payments         2        40   60  stopped  12:00:00  berlin/4711-1",
        "    at @41: KeyError: 'amount' in PaymentSucceeded",
        "sagas            2        93    7  live     12:00:00  berlin/4711-1",
        "sagas__v7        2        12   88  live     12:00:00",
        "    not public: beside the view of that name, for programs of another version,",
        "    or being rebuilt",
    ]


def test_steps_side_by_side_stand_in_brackets_where_that_is_their_order() -> None:
    """A step that comes after some of them only is followed by the steps that it comes after."""
    trip = Saga("trip", input=str)
    for name, after in (("a", []), ("b", ["a"]), ("c", ["a"]), ("d", ["b", "c"])):
        trip.step(name=name, after=after, compensable=False)(_act)
    tree = Saga("tree", input=str)
    for name, after in (("a", []), ("b", []), ("c", ["a"])):
        tree.step(name=name, after=after, compensable=False)(_act)

    shown = _texts(definitions_screen([_usage(trip), _usage(tree)], 80))

    assert shown[2] == "    a → (b ∥ c) → d"
    assert shown[4] == "    a, b, c after a"


def _act(_value: str, _ctx: StepContext) -> None:
    """Never called."""


def _usage(saga: Saga[str]) -> VersionUsage:
    definition = saga.definition
    return VersionUsage(definition.name, 1, definition, definition.fingerprint, 0, 0)


@pytest.mark.parametrize(
    ("before", "after", "seen"),
    [
        ({}, {"attempt": 0, "progress": "pending", "result": None, "given": []}, 0),
        ({"attempt": 0}, {"attempt": 1}, 1),
        ({"result": "x"}, {"result": None}, 1),
        ({"cause": None}, {"cause": ""}, 0),
    ],
)
def test_a_change_that_shows_nothing_is_no_row(before: dict[str, Any], after: dict[str, Any], seen: int) -> None:
    """From a field that is absent to one that nothing has touched; the JSON has every change."""
    changes = changed_fields(before, after)
    assert changes
    assert sum(map(is_seen, changes)) == seen
