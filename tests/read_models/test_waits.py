"""`saga_steps` shows a step as waiting exactly as long as something can end its wait."""

from __future__ import annotations

import pytest
from msgspec import Raw

from sagaledger.domain.event import Event
from sagaledger.domain.saga.event_parts import Failure, Wait, WaitKind
from sagaledger.domain.saga.events import (
    Action,
    CancelRequested,
    CompensationStarted,
    DeadlineExceeded,
    Direction,
    Effect,
    InterventionRequired,
    InterventionResolved,
    SagaCompensated,
    SagaStarted,
    StepFailed,
    StepStarted,
    StepSucceeded,
)
from sagaledger.infrastructure.event_store.backend import Backend
from sagaledger.infrastructure.event_store.codec import Codec
from sagaledger.infrastructure.read_models.drift import drift
from sagaledger.infrastructure.read_models.queries import Queries
from sagaledger.projections.saga import interventions, saga_steps

from .conftest import MakeProjector
from .shop import OPENING, Shop

NULL = Raw(b"null")
STARTED = SagaStarted(OPENING, "trip", 1, "f1", NULL)
SIGNAL = StepStarted(OPENING, "approve", 1, "k", Wait(WaitKind.SIGNAL, "approval"))
SAGA = StepStarted(OPENING, "book", 1, "k", Wait(WaitKind.SAGA, "hotel-1"))
CANCELLED = CancelRequested(OPENING, "ann", "changed her mind")
FAILED = StepFailed(OPENING, "pay", 1, Failure("ValueError", "no"), Effect.NONE, False, None)
COMPENSATED = SagaCompensated(OPENING, "cancelled")
PIVOT = (StepStarted(OPENING, "pay", 1, "k"), StepSucceeded(OPENING, "pay", 1, NULL, pivot=True))
NEEDED = InterventionRequired(OPENING, "pay", Direction.FORWARD, "gave up")


def _resolved(action: Action, *, pivot: bool = False) -> InterventionResolved:
    return InterventionResolved(OPENING, "pay", Direction.FORWARD, action, "ann", "it is settled", pivot=pivot)


CASES: dict[str, tuple[list[Event], str]] = {
    "nothing else": ([SIGNAL], "waiting"),
    "cancelled": ([SIGNAL, CANCELLED], "cancelled"),
    "late": ([SIGNAL, DeadlineExceeded(OPENING, OPENING)], "cancelled"),
    "another step failed, and it compensates": (
        [SIGNAL, PIVOT[0], FAILED, CompensationStarted(OPENING, "reserve", 1, "k")],
        "cancelled",
    ),
    "another step failed, and there is nothing to compensate": ([SIGNAL, PIVOT[0], FAILED, COMPENSATED], "cancelled"),
    "another step needs a person": ([SIGNAL, PIVOT[0], FAILED, NEEDED], "waiting"),
    "a person retries": ([SIGNAL, PIVOT[0], FAILED, NEEDED, _resolved(Action.RETRY)], "waiting"),
    "a person abandons": ([SIGNAL, PIVOT[0], FAILED, NEEDED, _resolved(Action.ABANDON)], "cancelled"),
    "cancelled while its pivot runs, which succeeds": ([SIGNAL, PIVOT[0], CANCELLED, PIVOT[1]], "waiting"),
    "cancelled, and a person says that the pivot is done": (
        [SIGNAL, CANCELLED, NEEDED, _resolved(Action.RESOLVE, pivot=True)],
        "waiting",
    ),
    "cancelled, past its pivot, and then signalled": (
        [SIGNAL, PIVOT[0], CANCELLED, PIVOT[1], StepSucceeded(OPENING, "approve", 1, NULL)],
        "succeeded",
    ),
    "cancelled after the signal": ([SIGNAL, StepSucceeded(OPENING, "approve", 1, NULL), CANCELLED], "succeeded"),
    "cancelled, and its sub-saga has not ended": ([SAGA, CANCELLED], "waiting"),
    "abandoned with a sub-saga": ([SAGA, NEEDED, _resolved(Action.ABANDON)], "cancelled"),
    "compensated with a sub-saga": ([SAGA, CANCELLED, COMPENSATED], "cancelled"),
}


@pytest.mark.parametrize("batch_events_max", [1, 3, 10_000])
def test_who_waits_is_who_can_be_woken(
    log: Backend, codec: Codec, make_projector: MakeProjector, batch_events_max: int
) -> None:
    """In every case, each a saga of its own; in batches of any size."""
    events = {f"trip-{number}": [STARTED, *case] for number, (case, _) in enumerate(CASES.values())}
    longest = max(map(len, events.values()))
    Shop(log).write(
        [(saga_id, saga_id, own[at]) for at in range(longest) for saga_id, own in events.items() if at < len(own)]
    )
    make_projector(saga_steps, batch_events_max=batch_events_max).catch_up()

    queries = Queries(log, [saga_steps])
    rows = queries.query("saga_steps", limit=1_000).rows
    found = {row["saga_id"]: row for row in rows if row["step"] in ("approve", "book")}
    assert {what: found[f"trip-{number}"]["status"] for number, what in enumerate(CASES)} == {
        what: status for what, (_, status) in CASES.items()
    }
    assert all((row["ended_at"] is None) == (row["status"] == "waiting") for row in found.values())
    assert {row["status"] for row in rows if row["step"] == "reserve"} == {"started"}
    assert drift(queries, log, codec, "saga_steps").count == 0


def test_an_abandoned_saga_needs_no_person(log: Backend, make_projector: MakeProjector) -> None:
    """Also where several steps needed a person: the decision about one of them ended the saga."""
    other = InterventionRequired(OPENING, "ship", Direction.FORWARD, "gave up")
    events: list[Event] = [STARTED, NEEDED, other, _resolved(Action.ABANDON)]
    Shop(log).write([("trip-1", "trip-1", event) for event in events])
    Shop(log).write([("trip-2", "trip-2", event) for event in (STARTED, NEEDED)])

    make_projector(interventions).catch_up()

    rows = Queries(log, [interventions]).query("interventions").rows
    assert [(row["saga_id"], row["step"], row["status"]) for row in rows] == [
        ("trip-1", "pay", "resolved"),
        ("trip-1", "ship", "resolved"),
        ("trip-2", "pay", "open"),
    ]
