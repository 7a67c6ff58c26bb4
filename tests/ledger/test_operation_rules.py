"""What a person may do to a saga, by its state when the event is appended."""

from __future__ import annotations

from datetime import UTC, datetime
from functools import partial
from typing import Any

import pytest
from msgspec import Raw

from sagaledger import App, InvalidInput, Ledger, NotSerialisable, PayloadTooLarge, Saga, StepContext, WrongState
from sagaledger.domain.event import Event
from sagaledger.domain.saga.event_parts import Parent, Wait, WaitKind
from sagaledger.domain.saga.events import (
    Action,
    CancelRequested,
    Direction,
    InterventionRequired,
    InterventionResolved,
    ItemsListed,
    SagaCompleted,
    SagaStarted,
    SignalReceived,
    StepStarted,
    StepSucceeded,
)
from sagaledger.domain.saga.evolve import rebuild
from sagaledger.domain.saga.payload import PAYLOAD_BYTES_MAX
from sagaledger.infrastructure.ledger.operation_rules import Rule, cancel_rule, intervention_rule
from sagaledger.infrastructure.ledger.signal_rules import NewSignal

NOON = datetime(2020, 1, 1, 12, tzinfo=UTC)
CANCEL = cancel_rule("ann", "why")


def signal(payload: Any) -> NewSignal:
    """A signal to be sent."""
    return NewSignal.of(payload, name="word", actor="ann", reason=None, refused=False, key=None)


SIGNAL = partial(signal(1).rule, App())
PAID = [StepStarted(NOON, "pay", 1, "k"), StepSucceeded(NOON, "pay", 1, Raw(b"1"), pivot=True)]
ENDED = [*PAID, SagaCompleted(NOON, Raw(b"1"))]
CANCELLED = [CancelRequested(NOON, "bob", "why")]


@pytest.mark.parametrize(
    ("rule", "events", "refusal"),
    [
        (CANCEL, [], None),
        (CANCEL, PAID[:1], None),
        (CANCEL, PAID, "it is past its pivot, and only goes forward"),
        (CANCEL, ENDED, "it is completed"),
        (CANCEL, CANCELLED, "it is already turning back"),
        (cancel_rule("ann", "why", parent_id="tour-1"), [], None),
        (cancel_rule("ann", "why", parent_id="tour-2"), [], "saga 'trip-1' was not started by saga 'tour-2'"),
        (SIGNAL, [], None),
        (SIGNAL, PAID, None),
        (SIGNAL, CANCELLED, None),
        (SIGNAL, ENDED, "takes no signal: it is completed"),
    ],
)
def test_what_the_state_does_not_allow_is_refused(rule: Rule, events: list[Event], refusal: str | None) -> None:
    """And what it allows becomes an event."""
    started = SagaStarted(NOON, "trip", 1, "f", Raw(b"1"), parent=Parent("tour-1", "tour", 1))
    state = rebuild("trip-1", [started, *events])

    if refusal is None:
        assert isinstance(rule(state, NOON), (CancelRequested, SignalReceived))
    else:
        with pytest.raises(WrongState, match=refusal):
            rule(state, NOON)


@pytest.mark.parametrize(
    ("value", "error"),
    [(float("nan"), NotSerialisable), (object(), NotSerialisable), ("x" * PAYLOAD_BYTES_MAX, PayloadTooLarge)],
)
def test_a_payload_that_could_not_be_carried_on_is_refused(value: Any, error: type[Exception]) -> None:
    """As an input and as a signal alike, before anything is written."""
    state = rebuild("trip-1", [SagaStarted(NOON, "trip", 1, "f", Raw(b"1"))])
    with pytest.raises(error, match="the payload of signal 'word'"):
        signal(value).rule(App(), state, NOON)


def test_a_time_without_a_zone_is_in_utc_everywhere(url: str) -> None:
    """Where it is given as the time to begin, and where a state is asked for; what is no time is refused."""
    saga = Saga("trip", input=int)
    saga.step(name="pay", compensable=False)(lambda *_: None)
    with Ledger.open(url, App(sagas=[saga]), create=True) as ledger:
        ledger.start(saga, 1, key="1", begins_at=datetime(2031, 1, 1, 8))  # noqa: DTZ001 -- the point of it
        begun = ledger.backend.head().recorded_at
        assert begun is not None
        state = ledger.state("trip-1", at=begun.replace(tzinfo=None))

        assert state.begins_at == datetime(2031, 1, 1, 8, tzinfo=UTC)
        assert ledger.state("trip-1", at=begun) == state
        for begins_at in ("2031-01-01", datetime.max.replace(tzinfo=UTC)):
            with pytest.raises(InvalidInput, match="begins_at"):
                ledger.start(saga, 1, key="2", begins_at=begins_at)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("step", "result", "refusal"),
    [
        ("book[1]", 5, None),
        ("book[1]", None, None),
        ("book[1]", "five", r"the result for step 'book\[1\]' does not fit"),
        ("book", None, None),
        ("book", [5], "step 'book' has only the results of its items: resolve it without a result"),
        ("pay", "five", "the result for step 'pay' does not fit"),
        ("on_completed", "anything", None),
    ],
)
def test_a_result_that_a_person_gives_fits_what_it_is_for(step: str, result: Any, refusal: str | None) -> None:
    """One item, a step, or a hook, whose result nothing reads; a step over a list has the results of its items."""

    def one(_: int, __: StepContext) -> int:
        return 1

    trip = Saga("trip", input=int)
    trip.step(name="pay", pivot=True)(one)
    trip.for_each(name="book", items=lambda *_: [1, 2])(one)
    events = [
        SagaStarted(NOON, "trip", 1, trip.definition.fingerprint, Raw(b"1")),
        StepStarted(NOON, "book", 1, "k", Wait(WaitKind.ITEMS)),
        ItemsListed(NOON, "book", 0, 2, (Raw(b"1"), Raw(b"2"))),
        InterventionRequired(NOON, step, Direction.FORWARD, "why"),
    ]
    rule = intervention_rule(App(sagas=[trip]), Action.RESOLVE, step, result, "ann", "why")

    if refusal is None:
        assert isinstance(rule(rebuild("trip-1", events), NOON), InterventionResolved)
    else:
        with pytest.raises(InvalidInput, match=refusal):
            rule(rebuild("trip-1", events), NOON)
