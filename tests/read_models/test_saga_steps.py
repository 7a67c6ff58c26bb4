"""`saga_steps` shows of each attempt all that its events say."""

from __future__ import annotations

from datetime import timedelta

import pytest
from msgspec import Raw

from sagaledger.domain.event import Event
from sagaledger.domain.saga.event_parts import Failure, Wait, WaitKind
from sagaledger.domain.saga.events import (
    CompensationFailed,
    CompensationStarted,
    Direction,
    Effect,
    StepFailed,
    StepOutcomeUnknown,
    StepProgressed,
    StepStarted,
    StepSucceeded,
)
from sagaledger.projections.saga import saga_steps

from .saga_events import recorded
from .shop import OPENING

LATER = OPENING + timedelta(minutes=1)
ERROR = Failure("TimeoutError", "no answer")
FORWARD = StepStarted(OPENING, "pay", 1, "key")
COMPENSATION = CompensationStarted(OPENING, "pay", 1, "key")


@pytest.mark.parametrize(
    ("start", "end", "status", "retry_at", "error"),
    [
        (FORWARD, StepOutcomeUnknown(OPENING, "pay", 1, Direction.FORWARD, "w1", LATER), "unknown", LATER, None),
        (FORWARD, StepOutcomeUnknown(OPENING, "pay", 1, Direction.FORWARD, "w1"), "unknown", None, None),
        (
            COMPENSATION,
            StepOutcomeUnknown(OPENING, "pay", 1, Direction.COMPENSATION, "w1", LATER),
            "unknown",
            LATER,
            None,
        ),
        (
            FORWARD,
            StepFailed(OPENING, "pay", 1, ERROR, Effect.NONE, True, LATER),
            "failed",
            LATER,
            "TimeoutError: no answer",
        ),
        (FORWARD, StepFailed(OPENING, "pay", 1, ERROR, Effect.NONE, False), "failed", None, "TimeoutError: no answer"),
        (
            COMPENSATION,
            CompensationFailed(OPENING, "pay", 1, ERROR, Effect.UNKNOWN, True, LATER),
            "failed",
            LATER,
            "TimeoutError: no answer",
        ),
        (FORWARD, StepSucceeded(OPENING, "pay", 1, Raw(b"null")), "succeeded", None, None),
    ],
)
def test_the_end_of_an_attempt_says_when_the_next_one_is(
    start: Event, end: Event, status: str, retry_at: object, error: str | None
) -> None:
    """Also after an attempt of unknown outcome, in either direction."""
    history = recorded([start, end])

    [row] = saga_steps.fold(saga_steps.touches(history), {}).written

    assert (row["status"], row["retry_at"], row["error"]) == (status, retry_at, error)
    assert (row["started_at"], row["ended_at"]) == (history[0].event.at, history[1].event.at)
    assert row["direction"] == ("forward" if start is FORWARD else "compensation")


def test_the_latest_progress_of_an_attempt_is_shown_with_it() -> None:
    """As the JSON that was recorded; another attempt, or the other direction, has its own."""
    told = [StepProgressed(OPENING, "pay", 1, Direction.FORWARD, Raw(b'{"page": %d}' % page)) for page in (1, 2)]
    back = StepProgressed(OPENING, "pay", 1, Direction.COMPENSATION, Raw(b'"back"'))
    history = recorded([FORWARD, *told, StepStarted(OPENING, "pay", 2, "key"), COMPENSATION, back])

    rows = saga_steps.fold(saga_steps.touches(history), {}).written

    shown = {(row["direction"], row["attempt"]): row.get("progress") for row in rows}
    assert shown == {("forward", 1): '{"page": 2}', ("forward", 2): None, ("compensation", 1): '"back"'}


@pytest.mark.parametrize(
    ("wait", "shown"),
    [
        (Wait(WaitKind.TIMER, None, LATER), ("waiting", "timer", LATER)),
        (Wait(WaitKind.SIGNAL, "approval"), ("waiting", "signal approval", None)),
        (Wait(WaitKind.SAGA, "refund-7", LATER), ("waiting", "saga refund-7", LATER)),
        (None, ("started", None, None)),
    ],
)
def test_a_wait_says_for_what_and_until_when(wait: Wait | None, shown: tuple[object, ...]) -> None:
    """A step that waits runs nothing."""
    history = recorded([StepStarted(OPENING, "pay", 1, "key", wait)])

    [row] = saga_steps.fold(saga_steps.touches(history), {}).written

    assert (row["status"], row["waits_for"], row["waits_until"]) == shown
