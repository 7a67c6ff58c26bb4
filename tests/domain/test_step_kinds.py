"""What a decision says about each kind of step is all that the worker needs to perform it."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any, NamedTuple

import msgspec
import pytest
from msgspec import Raw

from sagaledger.domain.errors import DefinitionError
from sagaledger.domain.saga.decide import decide, started
from sagaledger.domain.saga.decision import Decision
from sagaledger.domain.saga.event_parts import Wait, WaitKind
from sagaledger.domain.saga.events import (
    CancelRequested,
    CompensationStarted,
    Direction,
    SagaStarted,
    StepStarted,
    StepSucceeded,
)
from sagaledger.domain.saga.evolve import rebuild
from sagaledger.domain.saga.saga import Saga
from sagaledger.domain.saga.state import SagaState
from sagaledger.domain.saga.step_kind import LocalResult

NOON = datetime(2020, 1, 1, 12, tzinfo=UTC)
FORWARD, BACK = Direction.FORWARD, Direction.COMPENSATION


class Trip(msgspec.Struct):
    """An input."""  # it is part of the fingerprint below

    trip_id: str
    nights: int = 1


def book(_trip: Trip, _context: Any) -> str:
    """An action with a declared result."""
    return "booked"


def nothing(*_: Any) -> None:
    """A compensation."""


def hotel() -> Saga[Trip]:
    """A saga to be a step."""
    saga = Saga("hotel", input=Trip)
    saga.step(name="room")(nothing).compensation(nothing)
    return saga


def a_call(saga: Saga[Trip]) -> None:
    """Declare a step that calls a service."""
    saga.step(name="it")(book).compensation(nothing)


def a_local_step(saga: Saga[Trip]) -> None:
    """Declare a local step."""
    saga.local_step(name="it")(book).compensation(nothing)


def a_timer(saga: Saga[Trip]) -> None:
    """Declare a step that sleeps."""
    saga.sleep("it", seconds=10)


def a_signal(saga: Saga[Trip]) -> None:
    """Declare a step that waits for a signal."""
    saga.wait_for("it", signal="approved", timeout=60)


def a_sub_saga(saga: Saga[Trip]) -> None:
    """Declare a step that is a saga of its own."""
    saga.sub_saga(hotel(), name="it")(book).compensation(nothing)


class Kind(NamedTuple):
    """A kind of step, and what is expected of it."""

    declare: Callable[[Saga[Trip]], None]
    made: str
    """The list of the decision that has the attempt at its action."""
    waits: Wait | None
    undone: str | None
    """The list that has the attempt at its compensation; None: it has none."""
    result_type: Any


KINDS = [
    pytest.param(Kind(a_call, "call", None, "call", str | None), id="call"),
    pytest.param(Kind(a_local_step, "local", None, "local", LocalResult | None), id="local"),
    pytest.param(
        Kind(a_timer, "wait", Wait(WaitKind.TIMER, None, NOON + timedelta(seconds=10)), None, Any), id="timer"
    ),
    pytest.param(
        Kind(a_signal, "wait", Wait(WaitKind.SIGNAL, "approved", NOON + timedelta(seconds=60)), None, Any), id="signal"
    ),
    pytest.param(Kind(a_sub_saga, "wait", Wait(WaitKind.SAGA, "hotel-trip-1.it"), "call", Any), id="sub-saga"),
]


def lists(decision: Decision) -> dict[str, list[tuple[str, Direction]]]:
    """The lists of a decision that are not empty."""
    found = {"call": decision.call, "local": decision.local, "wait": decision.wait}
    return {name: [(one.step, one.direction) for one in attempts] for name, attempts in found.items() if attempts}


def state_after(*events: Any) -> SagaState:
    """The saga's state after its start and these events."""
    return rebuild("trip-1", [SagaStarted(NOON, "trip", 1, "f", Raw(b"{}")), *events])


@pytest.mark.parametrize("kind", KINDS)
def test_an_attempt_is_in_the_list_that_says_how_it_is_made(kind: Kind) -> None:
    """Its start records what the step waits for, if it waits."""
    saga = Saga("trip", input=Trip)
    kind.declare(saga)
    definition = saga.definition
    state = state_after()

    decision = decide(definition, state, NOON)

    assert lists(decision) == {kind.made: [("it", FORWARD)]}
    [attempt] = decision.attempts
    event = started(definition, state, attempt, NOON)
    assert isinstance(event, StepStarted)
    assert event.wait == kind.waits
    assert definition.step("it").result_type == kind.result_type


@pytest.mark.parametrize("kind", KINDS)
def test_so_is_the_attempt_to_undo_it(kind: Kind) -> None:
    """A step that only waits has no compensation."""
    saga = Saga("trip", input=Trip)
    kind.declare(saga)
    definition = saga.definition
    done = [StepStarted(NOON, "it", 1, "k", kind.waits), StepSucceeded(NOON, "it", 1, Raw(b"null"))]
    state = state_after(*done, CancelRequested(NOON, "someone", "because"))

    decision = decide(definition, state, NOON)

    assert lists(decision) == ({} if kind.undone is None else {kind.undone: [("it", BACK)]})
    for attempt in decision.attempts:
        assert isinstance(started(definition, state, attempt, NOON), CompensationStarted)


def test_a_step_that_only_waits_takes_no_compensation() -> None:
    """It did nothing that could be undone."""
    saga = Saga("trip", input=Trip)
    saga.sleep("pause", seconds=10).compensation(nothing)

    with pytest.raises(DefinitionError, match=r"'pause' has a compensation, but nothing to undo .*only waits"):
        _ = saga.definition


def test_steps_of_several_kinds_that_are_due_are_all_decided_at_once() -> None:
    """Parallel steps start together, each in its way."""
    saga = Saga("trip", input=Trip)
    saga.sleep("pause", seconds=10, after=[])
    saga.local_step(name="seats", after=[])(book).compensation(nothing)
    saga.step(name="flight", after=[])(book).compensation(nothing)

    decision = decide(saga.definition, state_after(), NOON)

    assert lists(decision) == {
        "call": [("flight", FORWARD)],
        "local": [("seats", FORWARD)],
        "wait": [("pause", FORWARD)],
    }


def test_a_definition_says_what_others_have_to_know_of_its_kinds() -> None:
    """Whether participants are involved, which signals are awaited, and which sagas it starts."""
    child = hotel()
    saga = Saga("trip", input=Trip)
    a_signal(saga)
    saga.sub_saga(child, name="hotel")(book).compensation(nothing)
    definition = saga.definition

    assert definition.signals == {"it": "approved"}
    assert definition.has_sub_sagas
    assert definition.sub_saga("hotel") is child.definition
    assert not definition.has_local_steps
    with pytest.raises(DefinitionError, match="step 'it' of saga 'trip' is not a saga of its own"):
        definition.sub_saga("it")


def test_the_fingerprint_of_a_saga_of_every_kind_never_changes() -> None:
    """It is on record in every ledger that has such a saga: with another one no worker would take it."""
    saga = Saga("book_trip", version=3, input=Trip, key=lambda trip: trip.trip_id)
    saga.step(name="flight")(nothing).compensation(nothing)
    saga.local_step(name="seats", after=["flight"])(nothing).compensation(nothing)
    saga.sleep("pause", seconds=10, after=["flight"])
    saga.wait_for("approval", signal="approved", timeout=60)
    saga.sub_saga(hotel(), name="hotel", after=["seats", "approval"])(nothing).compensation(nothing)
    saga.step(name="pay", pivot=True)(nothing)
    saga.step(name="mail")(nothing)

    assert saga.definition.fingerprints == {"d0edf084d1236645", saga.definition.fingerprint}
    assert saga.definition.fingerprint == "ffb83623379e091c"
