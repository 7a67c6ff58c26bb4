"""Replaying recorded histories against a definition: the first event that it would not have led to is named."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

import msgspec
import pytest
from msgspec import Raw

from sagaledger.domain.errors import StepRejected
from sagaledger.domain.event import Event
from sagaledger.domain.saga.decide import advance
from sagaledger.domain.saga.event_parts import Failure, Wait, WaitKind
from sagaledger.domain.saga.events import (
    COMPENSATION,
    FORWARD,
    Action,
    CancelRequested,
    Effect,
    InterventionRequired,
    InterventionResolved,
    SagaStarted,
    SignalReceived,
    StepFailed,
    StepStarted,
    TimerFired,
)
from sagaledger.domain.saga.evolve import rebuild
from sagaledger.domain.saga.replay import Divergence, replay
from sagaledger.domain.saga.retry_policy import Retry
from sagaledger.domain.saga.saga import Saga
from sagaledger.infrastructure.testing.rehearsal import rehearse

SAGA_ID = "trip-rehearsal"


class Trip(msgspec.Struct):
    """An input."""

    number: int


def returning(result: Any) -> Callable[..., Any]:
    def act(*_: Any) -> Any:
        return result

    return act


nothing = returning(None)


def trip(*names: str, pivot: str | None = None, input: Any = Trip, **options: Any) -> Saga[Any]:  # noqa: A002
    """Steps in a row; each before the pivot is compensated."""
    saga = Saga("trip", input=input)
    for name in names:
        final = pivot is not None and names.index(name) >= names.index(pivot)
        step = saga.step(name=name, pivot=name == pivot, **options)(nothing)
        if not final:
            step.compensation(nothing)
    return saga


def replayed(saga: Saga[Any], events: list[Event]) -> Divergence | None:
    return replay(saga.definition, events, SAGA_ID)


def history(saga: Saga[Any], **arrangement: Any) -> list[Event]:
    return rehearse(saga, {"number": 1}, **arrangement).saga_events


BROKEN = {"c": StepRejected("full")}


def test_a_history_replays_against_the_code_that_made_it() -> None:
    """Forward, backward, and with retries."""
    saga = trip("a", "b", "c")

    assert replayed(saga, history(saga)) is None
    assert replayed(saga, history(saga, fail=BROKEN)) is None
    assert replayed(saga, history(saga, fail={"b": [OSError("down"), OSError("down")]})) is None


def test_tuning_is_no_divergence() -> None:
    """Retries, timeouts and times to wait may change while sagas run."""
    saga, tuned = trip("a", "b"), trip("a", "b", retry=Retry(attempts=9, backoff_seconds=9), timeout=5)
    sleeping, briefly = Saga("trip", input=Trip), Saga("trip", input=Trip)
    sleeping.sleep("rest", seconds=100)
    briefly.sleep("rest", seconds=1)

    assert replayed(tuned, history(saga, fail={"b": [OSError("down")]})) is None
    assert replayed(briefly, history(sleeping)) is None


@pytest.mark.parametrize(
    ("changed", "arrangement", "version", "recorded", "expected"),
    [
        (trip("a", "x", "b", "c"), {}, 4, "StepStarted of 'b'", "the definition would start 'x' (attempt 1)"),
        (trip("b", "a", "c"), {}, 2, "StepStarted of 'a'", "the definition would start 'b' (attempt 1)"),
        (trip("a", "b"), {}, 6, "StepStarted of 'c'", "the definition would record SagaCompleted"),
        (trip("a", "b", "c", "x"), {}, 8, "SagaCompleted", "the definition would start 'x' (attempt 1)"),
        (trip("a", "c"), {}, 4, "StepStarted of 'b'", "the definition would start 'c' (attempt 1)"),
        (trip("a", "b", "c", pivot="b"), {}, 5, "StepSucceeded of 'b'", "the step is the pivot now"),
        (
            trip("a", "c", "b"),
            {"fail": BROKEN},
            4,
            "StepStarted of 'b'",
            "the definition would start 'c' (attempt 1)",
        ),
    ],
)
def test_another_structure_diverges_where_it_would_decide_otherwise(
    changed: Saga[Any], arrangement: dict[str, Any], version: int, recorded: str, expected: str
) -> None:
    """The divergence has the number of the event, the event, and what the code would do."""
    events = history(trip("a", "b", "c"), **arrangement)

    assert replayed(changed, events) == Divergence(SAGA_ID, version, recorded, expected)


def test_an_order_of_compensations_that_the_code_would_not_make_diverges() -> None:
    """Steps that ran in a row are undone one by one; what ran side by side, side by side."""
    row = trip("a", "b", "c")
    beside = Saga("trip", input=Trip)
    for name in ("a", "b", "c"):
        beside.step(name=name, after=["b"] if name == "c" else [])(nothing).compensation(nothing)

    events = history(beside, fail={"c": StepRejected("full")})
    found = replayed(row, events)

    assert replayed(beside, events) is None
    assert found is not None
    assert found.recorded == "StepStarted of 'b'"


def test_a_compensation_that_was_removed_diverges() -> None:
    """The code would undo another step first."""
    without = Saga("trip", input=Trip)
    without.step(name="a")(nothing).compensation(nothing)
    without.step(name="b", compensable=False)(nothing)
    without.step(name="c", compensable=False)(nothing)

    found = replayed(without, history(trip("a", "b", "c"), fail=BROKEN))

    assert found is not None
    assert (found.recorded, found.expected) == (
        "CompensationStarted of 'b'",
        "the definition would compensate 'a' (attempt 1)",
    )


def _waiting(kind: str) -> Saga[Any]:
    saga = Saga("trip", input=Trip)
    nested = Saga("inn" if kind == "other saga" else "hotel", input=Trip)
    nested.step(name="room", compensable=False)(nothing)
    match kind:
        case "timer":
            saga.sleep("a", seconds=1)
        case "signal" | "other signal":
            saga.wait_for("a", signal="word" if kind == "signal" else "sign", timeout=60)
        case "saga" | "other saga":
            saga.sub_saga(nested, name="a", compensable=False)(nothing)
        case "list":
            saga.for_each(items=lambda *_: [1, 2, 3], name="a", compensable=False)(nothing)
        case "conditional":
            saga.step(name="a", compensable=False, when=lambda *_: False)(nothing)
        case _:
            saga.step(name="a", compensable=False)(nothing)
    return saga


NOON = datetime(2020, 1, 1, 12, tzinfo=UTC)


def begun(saga: Saga[Any], kind: str) -> list[Event]:
    """A saga whose step has begun to wait."""
    definition = saga.definition
    wait = definition.step("a").wait(SAGA_ID, NOON)
    if kind == "list":
        wait = Wait(WaitKind.ITEMS)
    return [
        SagaStarted(NOON, "trip", 1, definition.fingerprint, Raw(b'{"number":1}')),
        StepStarted(NOON, "a", 1, "key", wait),
    ]


@pytest.mark.parametrize("kind", ["call", "timer", "signal", "saga", "list"])
@pytest.mark.parametrize("other", ["call", "timer", "signal", "other signal", "saga", "other saga", "list"])
def test_a_step_that_waited_for_something_else_diverges(kind: str, other: str) -> None:
    """A call, a timer, a signal by its name, a sub-saga by its name, items."""
    found = replayed(_waiting(other), begun(_waiting(kind), kind))

    if (kind, other) == ("call", "list"):  # as it is recorded when the code that lists the items fails
        assert found is None
    else:
        assert (found is None) is (kind == other)


def test_signals_and_what_people_decide_are_taken_as_they_are() -> None:
    """They came from outside; what follows from them is checked."""
    saga = _waiting("signal")
    at = NOON + timedelta(seconds=1)
    events = [*begun(saga, "signal"), SignalReceived(at, "word", Raw(b"7"), "ann")]
    cancelled = [*begun(saga, "signal"), CancelRequested(at, "ann", "no more")]
    late = [*begun(saga, "signal"), TimerFired(at, "a", at)]

    assert replayed(saga, events) is None
    assert replayed(saga, cancelled) is None
    assert replayed(saga, late) == Divergence(
        SAGA_ID,
        3,
        "TimerFired of 'a'",
        "the definition would do nothing until 2020-01-01 12:01:00+00:00",
    )


def test_approvals_replay_by_the_rules_of_their_step() -> None:
    """Each that counts is a decision; how many are needed, and from whom, belongs to the step."""

    def approved(by: int, *excluded: str) -> Saga[Any]:
        saga = Saga("trip", input=Trip)
        saga.wait_for("a", approvals=by, excluded=excluded)
        return saga

    saga = approved(2, "eve")
    events = begun(saga, "signal")
    for seconds, actor in enumerate(("ann", "eve", "bob")):
        at = NOON + timedelta(seconds=seconds)
        events.append(SignalReceived(at, "a", Raw(b"1"), actor))
        events += advance(saga.definition, rebuild(SAGA_ID, events), at).events

    assert [type(event).__name__ for event in events if not isinstance(event, SignalReceived)][2:] == [
        "ApprovalCounted",
        "ApprovalCounted",
        "StepSucceeded",
        "SagaCompleted",
    ]
    assert replayed(saga, events) is None
    for other, shown in ((approved(3, "eve"), "by 3 actors without eve"), (approved(2), "by 2 actors now")):
        found = replayed(other, events)
        assert found is not None
        assert (found.version, shown in found.expected) == (2, True)
    uncounted = [event for event in events if not isinstance(event, SignalReceived)]
    assert (found := replayed(saga, uncounted)) is not None
    assert found.recorded == "ApprovalCounted of 'a'"


def test_a_person_who_was_needed_is_checked_where_a_decision_says_so() -> None:
    """A saga is also parked because of errors that no decision knows of: that is taken as it is."""
    saga = trip("a", "b", pivot="a")
    given_up = history(saga, fail={"b": StepRejected("no")})
    parked = [*history(saga)[:3], InterventionRequired(NOON + timedelta(days=1), "b", FORWARD, "cannot be decided")]
    resolved = [*given_up, InterventionResolved(NOON + timedelta(days=1), "b", FORWARD, Action.SKIP, "ann", "done")]

    assert given_up[-1].schema.name == "InterventionRequired"
    assert replayed(saga, given_up) is None
    assert replayed(saga, parked) is None
    assert replayed(saga, resolved) is None
    found = replayed(trip("a", "b", pivot="b"), given_up)
    assert found is not None
    assert found.expected == "the step is not the pivot now"


def test_a_saga_that_a_worker_could_not_go_on_with_replays() -> None:
    """It was parked before its pivot: its attempt counts as failed, and a person was asked instead of compensating."""
    saga = trip("a", "b")
    begun = history(saga)[:4]
    last = begun[-1]
    assert isinstance(last, StepStarted)
    failed = StepFailed(last.at, "b", 1, Failure("CorruptEvent", "see the log"), Effect.UNKNOWN, retryable=False)
    cause = "what follows cannot be decided or written (CorruptEvent): the log of the worker says why"

    parked = [*begun, failed, InterventionRequired(last.at, "b", FORWARD, cause)]

    assert replayed(saga, parked) is None
    decided = InterventionRequired(last.at, "b", FORWARD, "step b gave up after attempt 1 (CorruptEvent)")
    divergence = replayed(saga, [*begun, failed, decided])
    assert divergence is not None
    assert divergence.version == 6


def test_conditions_and_lists_replay() -> None:
    """What the code said then is recorded, and taken as it is; that it was asked is checked."""
    conditional, items = _waiting("conditional"), _waiting("list")

    assert replayed(conditional, history(conditional)) is None
    assert replayed(items, history(items)) is None
    assert replayed(items, history(items, fail={"a[1]": StepRejected("no")})) is None
    found = replayed(_waiting("call"), history(conditional))
    assert found is not None
    assert found.recorded == "ConditionNotMet of 'a'"


def test_how_many_items_run_at_once_is_tuning() -> None:
    """As many as did then, also if fewer may now."""
    many, few = Saga("trip", input=Trip), Saga("trip", input=Trip)
    for saga, parallel in ((many, 5), (few, 1)):
        step = saga.for_each(items=lambda *_: [1, 2, 3, 4], name="a", parallel=parallel)(nothing)
        step.compensation(nothing)
        saga.step(name="b", compensable=False)(nothing)

    assert replayed(few, history(many)) is None
    assert replayed(few, history(many, fail={"b": StepRejected("no")})) is None


def test_a_condition_that_failed_replays() -> None:
    """The step has started, and has failed at once."""

    def broken(*_: Any) -> bool:
        raise ValueError("no answer")

    saga = Saga("trip", input=Trip)
    saga.step(name="a", compensable=False, after=[])(nothing)
    saga.step(name="b", compensable=False, after=[], when=broken)(nothing)

    assert replayed(saga, history(saga)) is None


def test_a_value_that_the_declared_type_cannot_read_diverges() -> None:
    """The input, and the results of steps."""

    class Journey(msgspec.Struct):
        number: int
        name: str

    def numbered(*_: Any) -> int:
        return 1

    def named(*_: Any) -> str:
        return "one"

    before, now = Saga("trip", input=Trip), Saga("trip", input=Trip)
    before.step(name="a", compensable=False)(numbered)
    now.step(name="a", compensable=False)(named)

    wrong_input = replayed(trip("a", input=Journey), history(trip("a")))
    wrong_result = replayed(now, history(before))

    assert wrong_input is not None
    assert (wrong_input.version, "missing required field `name`" in wrong_input.expected) == (1, True)
    assert wrong_result is not None
    assert (wrong_result.version, "Expected `str | null`" in wrong_result.expected) == (3, True)


def test_the_history_of_another_saga_diverges_at_once() -> None:
    """By its name, by its version, or because it is none."""
    other = Saga("trip", version=2, input=Trip)
    other.step(name="a", compensable=False)(nothing)
    events = history(trip("a"))

    assert (found := replayed(other, events)) is not None
    assert "is a saga 'trip' version 1, and the definition is 'trip' version 2" in str(found)
    assert (found := replayed(trip("a"), events[1:])) is not None
    assert "begins with its SagaStarted" in str(found)
    compensated = [*history(trip("a"))[:1], InterventionRequired(NOON, "a", COMPENSATION, "x")]
    assert replayed(trip("a"), compensated) is None
