"""Random events of a saga, in any order: also in orders that no worker would record."""

from __future__ import annotations

from datetime import timedelta

from hypothesis import strategies as st
from msgspec import Raw
from msgspec.structs import replace

from sagaledger.domain.choreography.derived_saga import ConformanceViolation
from sagaledger.domain.event import Event
from sagaledger.domain.recorded_event import Meta, RecordedEvent
from sagaledger.domain.saga.event_parts import Failure, Wait, WaitKind
from sagaledger.domain.saga.events import (
    Action,
    ApprovalCounted,
    CancelRequested,
    CompensationFailed,
    CompensationStarted,
    ConditionNotMet,
    DeadlineExceeded,
    Direction,
    Effect,
    InterventionRequired,
    InterventionResolved,
    ItemsListed,
    SagaCompensated,
    SagaCompleted,
    SagaStarted,
    SignalReceived,
    SignalRejected,
    StepCompensated,
    StepFailed,
    StepOutcomeUnknown,
    StepProgressed,
    StepStarted,
    StepSucceeded,
    TimerFired,
)

from .shop import OPENING

SAGA_ID = "fulfil_order-1"
SECRET = "what the user put in"  # noqa: S105  # not a password: a text to look for
SECRET_JSON = Raw(b'"what the user put in"')
"""Every field of the events below whose content comes from a user has one of these two."""

_FAILURE = Failure(SECRET, SECRET)
_STEPS = st.sampled_from(["reserve", "pay", "ship", "pay[0]", "pay[1]"])
_DIRECTIONS = st.sampled_from(Direction)
_EFFECTS = st.sampled_from(Effect)
_LATER = st.sampled_from([None, OPENING + timedelta(minutes=1)])
_WAITS = st.sampled_from([None, Wait(WaitKind.TIMER, None, OPENING), Wait(WaitKind.SIGNAL, "approved")])


def _events(type_: type[Event], *fields: object) -> st.SearchStrategy[Event]:
    strategies = [field if isinstance(field, st.SearchStrategy) else st.just(field) for field in fields]
    return st.builds(lambda *values: type_(OPENING, *values), *strategies)


STARTED = st.builds(
    lambda begins_at, silence_seconds: SagaStarted(
        OPENING, "fulfil_order", 1, "f1", SECRET_JSON, begins_at=begins_at, silence_seconds=silence_seconds
    ),
    _LATER,
    st.sampled_from([None, 60.0]),
)
BY_TYPE: dict[type[Event], st.SearchStrategy[Event]] = {
    StepStarted: _events(StepStarted, _STEPS, 1, "key", _WAITS),
    StepProgressed: _events(StepProgressed, _STEPS, 1, _DIRECTIONS, SECRET_JSON),
    StepSucceeded: _events(StepSucceeded, _STEPS, 1, SECRET_JSON, st.booleans()),
    ConditionNotMet: _events(ConditionNotMet, _STEPS),
    ItemsListed: _events(ItemsListed, _STEPS, 0, 2, st.just((SECRET_JSON, SECRET_JSON)), st.booleans()),
    StepFailed: _events(StepFailed, _STEPS, 1, _FAILURE, _EFFECTS, True, _LATER),
    StepOutcomeUnknown: _events(StepOutcomeUnknown, _STEPS, 1, _DIRECTIONS, None, _LATER),
    CompensationStarted: _events(CompensationStarted, _STEPS, 1, "key"),
    StepCompensated: _events(StepCompensated, _STEPS, 1, SECRET_JSON),
    CompensationFailed: _events(CompensationFailed, _STEPS, 1, _FAILURE, _EFFECTS, True, _LATER),
    SignalReceived: _events(SignalReceived, "approved", SECRET_JSON, SECRET, SECRET, st.booleans()),
    ApprovalCounted: _events(ApprovalCounted, _STEPS, 1, st.integers(1, 5), SECRET, 1, 2),
    SignalRejected: _events(SignalRejected, "approved", st.integers(1, 5), _FAILURE),
    TimerFired: _events(TimerFired, _STEPS, OPENING),
    DeadlineExceeded: _events(DeadlineExceeded, OPENING),
    CancelRequested: _events(CancelRequested, SECRET, SECRET),
    InterventionRequired: _events(InterventionRequired, _STEPS, _DIRECTIONS, SECRET),
    InterventionResolved: _events(
        InterventionResolved, _STEPS, _DIRECTIONS, st.sampled_from(Action), SECRET, SECRET, SECRET_JSON, st.booleans()
    ),
    SagaCompleted: _events(SagaCompleted, SECRET_JSON),
    SagaCompensated: _events(SagaCompensated, SECRET),
    ConformanceViolation: _events(ConformanceViolation, 3, "PaymentSucceeded", "not allowed here"),
    SagaStarted: STARTED,
}


def recorded(events: list[Event]) -> list[RecordedEvent]:
    """Returns the events of one saga as a log has them, a second apart."""
    return [
        RecordedEvent(
            position,
            SAGA_ID,
            position,
            replace(event, at=OPENING + timedelta(seconds=position)),
            SAGA_ID,
            None,
            Meta(),
            OPENING,
        )
        for position, event in enumerate(events, start=1)
    ]


HISTORIES = st.builds(
    lambda first, rest: recorded([first, *rest]), STARTED, st.lists(st.one_of(*BY_TYPE.values()), max_size=25)
)
"""A saga that was started, and then any events in any order."""
