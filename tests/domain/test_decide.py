"""Given the events of a saga, when it is asked what comes next, then that."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from msgspec import Raw

from sagaledger.domain.event import Event
from sagaledger.domain.saga.decide import NextSteps, advance, decide
from sagaledger.domain.saga.decision import idempotency_key
from sagaledger.domain.saga.definition import Definition
from sagaledger.domain.saga.event_parts import Failure, Wait, WaitKind
from sagaledger.domain.saga.events import (
    Action,
    CancelRequested,
    CompensationFailed,
    CompensationStarted,
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
    StepCompensated,
    StepFailed,
    StepStarted,
    StepSucceeded,
    TimerFired,
)
from sagaledger.domain.saga.evolve import evolve, rebuild
from sagaledger.domain.saga.retry_policy import Retry
from sagaledger.domain.saga.saga import Saga
from sagaledger.domain.saga.state import SagaState, Status
from sagaledger.domain.saga.step_kind import SubSaga

NOON = datetime(2020, 1, 1, 12, tzinfo=UTC)
LATER = NOON + timedelta(seconds=30)
SAGA_ID = "trip-1"
FORWARD, BACK = Direction.FORWARD, Direction.COMPENSATION
ERROR = Failure("OSError", "gone")


def nothing(*_: Any) -> None:
    """An action or a compensation."""


def sequence() -> Definition:
    """Flight, hotel, car: each compensated."""
    saga = Saga("trip", input=dict[str, Any])
    for name in ("flight", "hotel", "car"):
        saga.step(name=name)(nothing).compensation(nothing)
    return saga.definition


def with_pivot() -> Definition:
    """Flight, then the pivot, then the mail."""
    saga = Saga("trip", input=dict[str, Any])
    saga.step(name="flight")(nothing).compensation(nothing)
    saga.step(name="pay", pivot=True)(nothing)
    saga.step(name="mail")(nothing)
    return saga.definition


def parallel() -> Definition:
    """Hotel and car beside each other, between flight and mail."""
    saga = Saga("trip", input=dict[str, Any])
    saga.step(name="flight")(nothing).compensation(nothing)
    saga.step(name="hotel", after=["flight"])(nothing).compensation(nothing)
    saga.step(name="car", after=["flight"])(nothing).compensation(nothing)
    saga.step(name="mail", after=["hotel", "car"], compensable=False)(nothing)
    return saga.definition


def waiting() -> Definition:
    """A pause, then an approval within a minute."""
    saga = Saga("trip", input=dict[str, Any])
    saga.step(name="flight")(nothing).compensation(nothing)
    saga.sleep("pause", seconds=10)
    saga.wait_for("approval", timeout=60)
    return saga.definition


def began(**more: Any) -> SagaStarted:
    """The saga has begun."""
    return SagaStarted(NOON, "trip", 1, "f", Raw(b"{}"), **more)


def start(step: str, attempt: int = 1, wait: Wait | None = None) -> StepStarted:
    """An attempt is in flight, or a step waits."""
    return StepStarted(NOON, step, attempt, "k", wait)


def ok(step: str, *, pivot: bool = False) -> list[Event]:
    """A step has succeeded."""
    return [start(step), StepSucceeded(NOON, step, 1, Raw(f'"{step}"'.encode()), pivot)]


def failed(step: str, *, effect: Effect = Effect.UNKNOWN, retry_at: datetime | None = None) -> list[Event]:
    """A step has failed, for good unless it is retried."""
    return [start(step), StepFailed(NOON, step, 1, ERROR, effect, retryable=True, retry_at=retry_at)]


def undone(step: str) -> list[Event]:
    """A step has been compensated."""
    return [CompensationStarted(NOON, step, 1, "k"), StepCompensated(NOON, step, 1, Raw(b"null"))]


CANCEL = CancelRequested(NOON, "someone", "because")
UNDO_FAILED = [
    CompensationStarted(NOON, "flight", 1, "k"),
    CompensationFailed(NOON, "flight", 1, ERROR, Effect.UNKNOWN, True),
]
PARKED = InterventionRequired(NOON, "flight", BACK, "gave up")


def resolved(action: Action, step: str = "flight", direction: Direction = BACK, **more: Any) -> InterventionResolved:
    """A person has decided."""
    return InterventionResolved(NOON, step, direction, action, "op", "why", **more)


def runs(ahead: NextSteps) -> list[tuple[str, Direction, int]]:
    """The attempts that are to be made."""
    return [(each.step, each.direction, each.attempt) for each in ahead.decision.attempts]


@pytest.mark.parametrize(
    ("definition", "given", "expected"),
    [
        pytest.param(sequence, [], [("flight", FORWARD, 1)], id="the first step first"),
        pytest.param(sequence, ok("flight"), [("hotel", FORWARD, 1)], id="then the next"),
        pytest.param(sequence, [start("flight")], [], id="one in flight is left alone"),
        pytest.param(
            parallel, ok("flight"), [("hotel", FORWARD, 1), ("car", FORWARD, 1)], id="parallel steps together"
        ),
        pytest.param(parallel, [*ok("flight"), *ok("hotel"), start("car")], [], id="a join waits for all"),
        pytest.param(
            parallel, [*ok("flight"), *ok("hotel"), *ok("car")], [("mail", FORWARD, 1)], id="and then goes on"
        ),
        pytest.param(sequence, failed("flight", retry_at=NOON), [("flight", FORWARD, 2)], id="a retry that is due"),
        pytest.param(sequence, failed("flight", retry_at=LATER + timedelta(1)), [], id="not one that is not due"),
        pytest.param(
            sequence, [*ok("flight"), *failed("hotel")], [("hotel", BACK, 1)], id="undo what may have happened"
        ),
        pytest.param(
            sequence,
            [*ok("flight"), *failed("hotel", effect=Effect.NONE)],
            [("flight", BACK, 1)],
            id="not what did not",
        ),
        pytest.param(
            sequence,
            [*ok("flight"), *ok("hotel"), *failed("car"), *undone("car")],
            [("hotel", BACK, 1)],
            id="latest first",
        ),
        pytest.param(
            parallel,
            [*ok("flight"), *ok("hotel"), *ok("car"), CANCEL],
            [("car", BACK, 1), ("hotel", BACK, 1)],
            id="parallel steps are undone together",
        ),
        pytest.param(
            parallel, [*ok("flight"), *ok("hotel"), start("car"), CANCEL], [], id="what is in flight settles first"
        ),
        pytest.param(
            sequence,
            [*ok("flight"), *failed("hotel", retry_at=LATER), CANCEL],
            [("hotel", BACK, 1)],
            id="cancel ends retries",
        ),
        pytest.param(
            with_pivot, [*ok("flight"), *ok("pay", pivot=True), CANCEL], [("mail", FORWARD, 1)], id="past the pivot"
        ),
        pytest.param(
            with_pivot,
            [*ok("flight"), *failed("pay", effect=Effect.NONE)],
            [("flight", BACK, 1)],
            id="a refused pivot turns back",
        ),
        pytest.param(
            with_pivot,
            [*ok("flight"), *failed("pay", retry_at=NOON), CANCEL],
            [("pay", FORWARD, 2)],
            id="a pivot in doubt is tried again, not turned back from",
        ),
        pytest.param(
            sequence,
            [*ok("flight"), CANCEL, *UNDO_FAILED, PARKED, resolved(Action.RETRY)],
            [("flight", BACK, 2)],
            id="a person says retry",
        ),
        pytest.param(waiting, [*ok("flight")], [("pause", FORWARD, 1)], id="a pause begins"),
    ],
)
def test_attempts(definition: Any, given: list[Event], expected: list[tuple[str, Direction, int]]) -> None:
    """What is to be run."""
    state = rebuild(SAGA_ID, [began(), *given])

    assert runs(advance(definition(), state, LATER)) == expected


PAUSE = start("pause", wait=Wait(WaitKind.TIMER, None, NOON + timedelta(seconds=10)))
PAUSED = [PAUSE, StepSucceeded(NOON, "pause", 1, Raw(b"null"))]
APPROVAL = start("approval", wait=Wait(WaitKind.SIGNAL, "approval", NOON + timedelta(seconds=60)))


@pytest.mark.parametrize(
    ("definition", "given", "expected", "status"),
    [
        pytest.param(
            sequence, [*ok("flight"), *ok("hotel"), *ok("car")], [SagaCompleted], Status.COMPLETED, id="all done"
        ),
        pytest.param(sequence, [CANCEL], [SagaCompensated], Status.COMPENSATED, id="cancelled before anything"),
        pytest.param(
            sequence, [*ok("flight"), CANCEL, *undone("flight")], [SagaCompensated], Status.COMPENSATED, id="all undone"
        ),
        pytest.param(
            sequence,
            [*ok("flight"), CANCEL, *UNDO_FAILED],
            [InterventionRequired],
            Status.NEEDS_INTERVENTION,
            id="parks",
        ),
        pytest.param(
            sequence,
            [*ok("flight"), CANCEL, *UNDO_FAILED, PARKED, resolved(Action.SKIP)],
            [SagaCompensated],
            Status.COMPENSATED,
            id="a person says skip",
        ),
        pytest.param(
            sequence,
            [*ok("flight"), CANCEL, *UNDO_FAILED, PARKED, resolved(Action.ABANDON)],
            [],
            Status.ABANDONED,
            id="a person says abandon",
        ),
        pytest.param(
            with_pivot,
            [*ok("flight"), *failed("pay")],
            [InterventionRequired],
            Status.NEEDS_INTERVENTION,
            id="pivot in doubt",
        ),
        pytest.param(
            with_pivot,
            [*ok("flight"), *ok("pay", pivot=True), *failed("mail")],
            [InterventionRequired],
            Status.NEEDS_INTERVENTION,
            id="past the pivot there is only forward",
        ),
        pytest.param(
            waiting,
            [*ok("flight"), PAUSE],
            [TimerFired, StepSucceeded],
            Status.RUNNING,
            id="a timer that came due fires",
        ),
        pytest.param(waiting, [*ok("flight"), *PAUSED, APPROVAL], [], Status.WAITING, id="an approval is awaited"),
        pytest.param(
            waiting,
            [*ok("flight"), *PAUSED, APPROVAL, SignalReceived(NOON, "approval", Raw(b"1"), "boss")],
            [StepSucceeded, SagaCompleted],
            Status.COMPLETED,
            id="approved",
        ),
        pytest.param(
            waiting,
            [SignalReceived(NOON, "approval", Raw(b"1"), "boss"), *ok("flight"), *PAUSED, APPROVAL],
            [StepSucceeded, SagaCompleted],
            Status.COMPLETED,
            id="approved before it was asked",
        ),
        pytest.param(
            waiting,
            [*ok("flight"), *PAUSED, APPROVAL, SignalReceived(NOON, "approval", Raw(b"1"), "boss", "no", True)],
            [StepFailed],
            Status.COMPENSATING,
            id="refused",
        ),
        pytest.param(waiting, [PAUSE, CANCEL], [SagaCompensated], Status.COMPENSATED, id="cancelled while it pauses"),
    ],
)
def test_recorded_events(definition: Any, given: list[Event], expected: list[type[Event]], status: Status) -> None:
    """What is to be recorded, and where the saga stands then."""
    state = rebuild(SAGA_ID, [began(), *given])

    ahead = advance(definition(), state, LATER)

    assert [type(event) for event in ahead.events] == expected
    assert ahead.state.status is status


def test_a_deadline_turns_a_saga_back_unless_it_is_past_its_pivot() -> None:
    """What is late is undone, as long as it can be."""
    late = began(deadline=LATER)

    ahead = advance(sequence(), rebuild(SAGA_ID, [late, *ok("flight")]), LATER)
    assert [type(event) for event in ahead.events] == [DeadlineExceeded]
    assert runs(ahead) == [("flight", BACK, 1)]

    beyond = advance(with_pivot(), rebuild(SAGA_ID, [late, *ok("flight"), *ok("pay", pivot=True)]), LATER)
    assert beyond.events == ()
    assert runs(beyond) == [("mail", FORWARD, 1)]


@pytest.mark.parametrize(
    ("definition", "given", "wake_at"),
    [
        (sequence, [began(deadline=LATER)], LATER),
        (sequence, [began(), *failed("flight", retry_at=LATER)], LATER),
        (sequence, [began(deadline=LATER), *failed("flight", retry_at=LATER + timedelta(1))], LATER),
        (sequence, [began(begins_at=LATER)], LATER),
        (waiting, [began(), *ok("flight"), PAUSE], NOON + timedelta(seconds=10)),
        (waiting, [began(), *ok("flight"), *PAUSED, APPROVAL], NOON + timedelta(seconds=60)),
        (sequence, [began()], None),
    ],
)
def test_when_to_look_again(definition: Any, given: list[Event], wake_at: datetime | None) -> None:
    """The earliest of the deadline, the retries, the timers and the scheduled start."""
    assert decide(definition(), rebuild(SAGA_ID, given), NOON).wake_at == wake_at


def test_a_scheduled_saga_runs_nothing_before_its_time() -> None:
    """It waits for its start like for any timer."""
    state = rebuild(SAGA_ID, [began(begins_at=LATER)])

    assert decide(sequence(), state, NOON).attempts == ()
    assert [run.step for run in decide(sequence(), state, LATER).attempts] == ["flight"]


def test_a_saga_that_is_over_gets_nothing() -> None:
    """Whatever is recorded after its end."""
    state = rebuild(SAGA_ID, [began(), CANCEL, SagaCompensated(NOON, "cancelled"), CANCEL])

    assert decide(sequence(), state, LATER) == decide(sequence(), state, NOON)
    assert not decide(sequence(), state, LATER).attempts


def test_a_sub_saga_is_called_off_before_its_parent_turns_back() -> None:
    """What it does must be undone by itself first."""
    child = Saga("hotel", input=dict[str, Any])
    child.step(name="room")(nothing).compensation(nothing)
    parent = Saga("trip", input=dict[str, Any])
    parent.step(name="flight")(nothing).compensation(nothing)
    parent.sub_saga(child, name="hotel")(lambda trip, _: trip).compensation(nothing)
    definition = parent.definition
    wait = definition.step("hotel").wait(SAGA_ID, NOON)
    assert wait == Wait(WaitKind.SAGA, "hotel-trip-1.hotel")

    state = rebuild(SAGA_ID, [began(), *ok("flight"), start("hotel", wait=wait), CANCEL])

    assert decide(definition, state, NOON).call_off == ("hotel-trip-1.hotel",)


NESTED = Wait(WaitKind.SAGA, "hotel-trip-1.pay")
ABANDONED: list[Event] = [
    *ok("flight"),
    start("pay", wait=NESTED),
    StepFailed(NOON, "pay", 1, Failure("SubSagaAbandoned", "gone"), Effect.UNKNOWN, retryable=False),
]
PAY_PARKED = InterventionRequired(NOON, "pay", FORWARD, "gave up")


def nested_pivot() -> Definition:
    """Flight, then a pivot that is a saga of its own."""
    child = Saga("hotel", input=dict[str, Any])
    child.step(name="room", compensable=False)(nothing)
    saga = Saga("trip", input=dict[str, Any], deadline=30)
    saga.step(name="flight")(nothing).compensation(nothing)
    saga.sub_saga(child, name="pay", pivot=True)(nothing)
    return saga.definition


@pytest.mark.parametrize("turns", [CANCEL, DeadlineExceeded(NOON, NOON)])
def test_a_sub_saga_as_pivot_whose_outcome_is_in_doubt_is_waited_for_and_then_parked(turns: Event) -> None:
    """Abandoned, retried by a person, then turned back: it is begun again once, and neither undone nor called off."""
    events = [began(), *ABANDONED, PAY_PARKED, resolved(Action.RETRY, "pay", FORWARD), turns]
    again = advance(nested_pivot(), rebuild(SAGA_ID, events), NOON)
    assert runs(again) == [("pay", FORWARD, 2)]

    events += [start("pay", 2, NESTED)]
    waits = advance(nested_pivot(), rebuild(SAGA_ID, events), NOON)
    assert (runs(waits), waits.events, waits.decision.call_off) == ([], (), ())

    events += [StepFailed(NOON, "pay", 2, Failure("SubSagaAbandoned", "gone"), Effect.UNKNOWN, retryable=False)]
    parked = advance(nested_pivot(), rebuild(SAGA_ID, events), NOON)
    assert [type(event) for event in parked.events] == [InterventionRequired]


def test_an_abandoned_sub_saga_may_have_had_an_effect() -> None:
    """As a pivot it parks its parent; one that undid itself turns the parent back."""
    abandoned = advance(nested_pivot(), rebuild(SAGA_ID, [began(), *ABANDONED]), NOON)
    assert abandoned.state.status is Status.NEEDS_INTERVENTION

    undone_itself = StepFailed(NOON, "pay", 1, Failure("SubSagaCompensated", "no"), Effect.NONE, retryable=False)
    turned = advance(nested_pivot(), rebuild(SAGA_ID, [began(), *ABANDONED[:-1], undone_itself]), NOON)
    assert runs(turned) == [("flight", BACK, 1)]


def test_the_ids_of_two_sub_sagas_are_never_the_same() -> None:
    """Whatever their parents' ids and their steps' names: dots are escaped, and long ids end in a hash."""
    keys, steps = ["1", "1.a", "1.a.b", "1%2E", "k" * 195, "k" * 300], ["a", "a.b", "b", "%", "%2E"]
    places = [(f"trip-{key}", step) for key in keys for step in steps]
    places += [("trip-1", "b" * length) for length in (190, 194, 195, 200)]
    child = Saga("hotel", input=dict[str, Any])
    ids = {SubSaga(child.name).wait(saga_id, step, NOON) for saga_id, step in places}

    assert len(ids) == len(places)
    assert max(len(wait.target or "") for wait in ids if wait is not None) <= len("hotel-") + 200
    as_before = SubSaga("hotel").wait("trip-1", "b", NOON)
    assert as_before == Wait(WaitKind.SAGA, "hotel-trip-1.b")  # as version 0.1.0 wrote it


def test_an_idempotency_key_depends_on_saga_step_and_direction_alone() -> None:
    """It is the same for ever; two of them never meet."""
    assert idempotency_key("trip-1", "flight", FORWARD) == "5e07546d74096e71666d8d1497dab835"
    keys = {idempotency_key(s, n, d) for s in ("trip-1", "trip-12") for n in ("a", "2a") for d in Direction}
    assert len(keys) == 8


def test_retries_are_spent_per_direction() -> None:
    """A step's own attempts do not count against those of its compensation."""
    saga = Saga("trip", input=dict[str, Any])
    step = saga.step(name="flight", retry=Retry(attempts=1))(nothing)
    step.compensation(nothing, retry=Retry(attempts=5))

    assert step.policies_of(FORWARD).default.attempts == 1
    assert step.policies_of(BACK).default.attempts == 5


def test_an_untouched_saga_is_running() -> None:
    """Nothing has happened, nothing is wrong."""
    assert SagaState(SAGA_ID).status is Status.RUNNING


def test_one_event_and_several_are_folded_alike_even_where_no_worker_would_write_them() -> None:
    """An item is never a pivot, but a fold takes what is recorded."""
    events = [
        SagaStarted(NOON, "any", 1, "f", Raw(b"{}")),
        ItemsListed(NOON, "pay", 0, 2, (Raw(b"1"), Raw(b"2"))),
        StepSucceeded(NOON, "pay[0]", 1, Raw(b"1"), pivot=True),
        CancelRequested(NOON, "ann", "why"),
    ]

    state = SagaState("any-1")
    for event in events:
        state = evolve(state, event)

    assert state == rebuild("any-1", events)
