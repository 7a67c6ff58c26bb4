"""The `sagas` view shows what the saga's state says, and keeps nothing that a user put in."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from msgspec import Raw
from msgspec.structs import replace

from sagaledger.domain.choreography.derived_saga import ConformanceViolation
from sagaledger.domain.event import Event
from sagaledger.domain.recorded_event import RecordedEvent
from sagaledger.domain.saga.event_parts import Failure
from sagaledger.domain.saga.events import (
    SAGA_EVENTS,
    Action,
    CancelRequested,
    CompensationFailed,
    CompensationStarted,
    ConditionNotMet,
    DeadlineExceeded,
    Direction,
    Effect,
    InterventionRequired,
    InterventionResolved,
    SagaCompensated,
    SagaCompleted,
    SagaStarted,
    StepCompensated,
    StepFailed,
    StepOutcomeUnknown,
    StepStarted,
    StepSucceeded,
)
from sagaledger.domain.saga.evolve import rebuild
from sagaledger.domain.saga.state import SagaState, Status
from sagaledger.domain.saga.step_state import Progress
from sagaledger.projections.poison_event import PoisonEvent
from sagaledger.projections.projection import Row
from sagaledger.projections.saga import sagas

from .saga_events import BY_TYPE, HISTORIES, SAGA_ID, SECRET, recorded
from .shop import OPENING

NULL = Raw(b"null")
STARTED = SagaStarted(OPENING, "fulfil_order", 1, "f1", NULL)
FAILED = StepFailed(OPENING, "pay", 1, Failure("TimeoutError", "no answer"), Effect.NONE, True, None)


def _fold(events: Sequence[RecordedEvent], row: Row | None = None) -> Row:
    """Folds one batch into the row of the saga."""
    rows = {} if row is None else {(SAGA_ID,): row}
    (after,) = sagas.fold(sagas.touches(events), rows).written
    return after


def _shown(state: SagaState) -> dict[str, Any]:
    """The columns that show the saga's state."""
    return {
        "saga_id": state.saga_id,
        "definition": state.definition,
        "version": state.definition_version,
        "style": state.style,
        "status": state.status.value,
        "started_at": state.started_at,
        "updated_at": state.updated_at,
        "ended_at": state.ended_at,
        "deadline": state.deadline,
        "begins_at": state.begins_at,
        "events": state.version,
    }


@settings(max_examples=300, deadline=None)
@given(HISTORIES)
def test_sagas_shows_the_state_of_the_saga_after_every_event(history: list[RecordedEvent]) -> None:
    """The view and `evolve` agree, whatever happens to a saga, although each batch decodes what the last one stored."""
    row: Row | None = None

    for count, event in enumerate(history, start=1):
        row = _fold([event], row)

        state = rebuild(SAGA_ID, (each.event for each in history[:count]))
        shown = _shown(state)
        assert {column: row[column] for column in shown} == shown
        stalls = row["silence_seconds"] is not None and state.end is None and not state.interventions
        assert row["stalls_at"] == (event.event.at + timedelta(seconds=60) if stalls else None)


@settings(max_examples=300, deadline=None)
@given(HISTORIES, st.data())
def test_a_saga_that_is_folded_in_batches_has_the_row_that_one_batch_leaves(
    history: list[RecordedEvent], data: st.DataObject
) -> None:
    """The stored state holds all that the events of a later batch need, and is the same text."""
    cut = data.draw(st.integers(0, len(history) - 1))

    assert _fold(history[cut:], _fold(history[:cut]) if cut else None) == _fold(history)


@settings(max_examples=300, deadline=None)
@given(HISTORIES, st.data())
def test_what_a_user_put_in_is_never_in_the_stored_state(history: list[RecordedEvent], data: st.DataObject) -> None:
    """It can be erased from the log, or encrypted there, without a trace in the view's own column."""
    row: Row | None = None

    while history:
        size = data.draw(st.integers(1, len(history)))
        row, history = _fold(history[:size], row), history[size:]

        assert row["state"] is None or SECRET not in row["state"]
        assert SECRET not in repr({**row, "error": None, "failures": None})


def test_events_of_every_type_are_folded_in_these_tests() -> None:
    """An event type that is added to sagas has to be added to the random histories."""
    assert set(BY_TYPE) == {*SAGA_EVENTS, ConformanceViolation} == set(sagas.events)


def _failed(step: str, attempt: int, retry_at: datetime | None, error: str = "no answer") -> StepFailed:
    return StepFailed(OPENING, step, attempt, Failure("TimeoutError", error), Effect.NONE, True, retry_at)


LATER = OPENING + timedelta(minutes=1)
UNDOING = CompensationStarted(OPENING, "reserve", 1, "key")
UNDONE = StepCompensated(OPENING, "reserve", 1, NULL)
NOT_UNDONE = CompensationFailed(OPENING, "reserve", 1, Failure("OSError", "no disk"), Effect.UNKNOWN, True, None)
PARKED = InterventionRequired(OPENING, "reserve", Direction.COMPENSATION, "stuck")
CANCELLED = CancelRequested(OPENING, "ann", "changed her mind")


def _resolved(step: str, direction: Direction, action: Action) -> InterventionResolved:
    return InterventionResolved(OPENING, step, direction, action, "ann", "written off")


@pytest.mark.parametrize(
    ("events", "failed"),
    [
        ([_failed("pay", 1, LATER)], ("pay", "TimeoutError: no answer")),
        ([_failed("pay", 1, LATER), StepStarted(OPENING, "pay", 2, "key")], ("pay", "TimeoutError: no answer")),
        ([_failed("pay", 1, LATER), StepSucceeded(OPENING, "pay", 2, NULL)], None),
        ([_failed("pay", 1, LATER), StepSucceeded(OPENING, "book", 1, NULL)], ("pay", "TimeoutError: no answer")),
        ([_failed("pay", 1, LATER), ConditionNotMet(OPENING, "pay")], None),
        ([FAILED, UNDOING, UNDONE], ("pay", "TimeoutError: no answer")),
        ([FAILED, UNDOING, UNDONE, SagaCompensated(OPENING, "pay failed")], ("pay", "TimeoutError: no answer")),
        ([FAILED, _failed("book", 1, None, "later")], ("pay", "TimeoutError: no answer")),
        ([FAILED, UNDOING, replace(NOT_UNDONE, retry_at=LATER)], ("pay", "TimeoutError: no answer")),
        ([FAILED, UNDOING, NOT_UNDONE, PARKED], ("reserve", "stuck")),
        (
            [FAILED, NOT_UNDONE, PARKED, _resolved("reserve", Direction.COMPENSATION, Action.SKIP)],
            ("pay", "TimeoutError: no answer"),
        ),
        (
            [FAILED, NOT_UNDONE, PARKED, _resolved("reserve", Direction.COMPENSATION, Action.ABANDON)],
            ("reserve", "stuck"),
        ),
        (
            [PARKED, InterventionRequired(OPENING, "ship", Direction.FORWARD, "lost")],
            ("ship", "lost"),
        ),
        (
            [
                PARKED,
                InterventionRequired(OPENING, "ship", Direction.FORWARD, "lost"),
                _resolved("ship", Direction.FORWARD, Action.RETRY),
            ],
            ("reserve", "stuck"),
        ),
        ([FAILED, _resolved("pay", Direction.FORWARD, Action.RETRY)], None),
        ([FAILED, _resolved("pay", Direction.FORWARD, Action.RESOLVE)], None),
        (
            [StepOutcomeUnknown(OPENING, "ship", 2, Direction.FORWARD)],
            ("ship", "outcome unknown: the worker of attempt 2 died"),
        ),
        ([DeadlineExceeded(OPENING, OPENING)], (None, "deadline exceeded")),
        ([CANCELLED], None),
        ([_failed("pay", 1, LATER), CANCELLED], None),
        ([CANCELLED, UNDOING, replace(NOT_UNDONE, retry_at=LATER)], ("reserve", "OSError: no disk")),
        ([CANCELLED, UNDOING, replace(NOT_UNDONE, retry_at=LATER), UNDONE], None),
        ([FAILED, SagaCompleted(OPENING, NULL)], None),
        ([SagaCompleted(OPENING, NULL), FAILED], None),
    ],
)
@pytest.mark.parametrize("each_alone", [False, True], ids=["one batch", "a batch each"])
def test_failed_step_and_error_say_what_failed_the_saga_now(
    events: list[Event], failed: tuple[str | None, str] | None, each_alone: bool
) -> None:
    """Not a failure that a retry or a person has overcome, and nothing once the saga has completed."""
    history, row = recorded([STARTED, *events]), None
    for size in [1] * len(history) if each_alone else [len(history)]:
        row, history = _fold(history[:size], row), history[size:]

    assert row is not None
    assert (row["failed_step"], row["error"]) == (failed or (None, None))


@settings(max_examples=150, deadline=None)
@given(HISTORIES)
def test_failed_step_and_error_agree_with_the_status_of_the_saga(history: list[RecordedEvent]) -> None:
    """A saga that needs a person shows the step that does; one that goes forward at most a retry; a completed none."""
    ends = (at for at, each in enumerate(history, start=1) if rebuild(SAGA_ID, (each.event,)).end is not None)
    history = history[: next(ends, None)]
    state, row = rebuild(SAGA_ID, (each.event for each in history)), _fold(history)

    if state.end is Status.COMPLETED:
        assert (row["failed_step"], row["error"]) == (None, None)
    elif state.end is None and state.interventions:
        assert row["failed_step"] == state.interventions[-1].step
    elif state.end is None and not state.compensating and row["failed_step"] is not None:
        progress = state.step(row["failed_step"])
        assert Progress.RETRYING in (progress.forward.progress, progress.compensation.progress)


def test_current_step_shows_the_latest_attempt_until_the_saga_ends() -> None:
    """In either direction."""
    history = recorded(
        [
            STARTED,
            StepStarted(OPENING, "pay", 1, "key"),
            CompensationStarted(OPENING, "reserve", 1, "key"),
            SagaCompleted(OPENING, NULL),
        ]
    )

    assert [_fold(history[:count])["current_step"] for count in range(1, 5)] == [None, "pay", "reserve", None]


def test_an_event_after_the_end_still_counts() -> None:
    """The row of a saga that has ended stores no state, and needs none."""
    ended = _fold(recorded([STARTED, SagaCompleted(OPENING, NULL)]))
    violation = ConformanceViolation(OPENING, 3, "PaymentSucceeded", "not allowed here")

    row = _fold(recorded([STARTED, SagaCompleted(OPENING, NULL), violation])[2:], ended)

    assert ended["state"] is None
    assert (row["status"], row["ended_at"], row["state"]) == ("completed", ended["ended_at"], None)
    assert (row["events"], row["findings"]) == (3, 1)


def test_a_state_that_was_edited_by_hand_stops_the_view_at_the_next_event() -> None:
    """A rebuild then removes the edit."""
    row = _fold(recorded([STARTED]))

    with pytest.raises(PoisonEvent, match=r"cannot fold event 2 \(StepFailed\)"):
        _fold(recorded([STARTED, FAILED])[1:], {**row, "state": '{"steps":{"pay":["lost"]}}'})
