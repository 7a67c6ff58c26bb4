"""Rehearsing with a plan: signals, sub-sagas, decisions, jumps in time; and what is planned in vain is an error."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest
from msgspec.json import decode

from sagaledger import (
    DefinitionError,
    Direction,
    InvalidInput,
    PlannedIntervention,
    PlannedSignal,
    Rehearsal,
    Retry,
    Saga,
    Scenario,
    Status,
    StepContext,
    StepRejected,
    WrongState,
    rehearse,
    rehearse_each_failure,
)
from sagaledger.domain.saga.events import CancelRequested, SignalReceived

from ..ledger.trip import TRAIN, SeatsTaken, Trip, trip

HOUR = 3600.0
UNDO = Direction.COMPENSATION
called: list[str] = []

payout = Saga("payout", input=int)


@payout.step(retry=Retry(attempts=1))
async def transfer(amount: int, _: StepContext) -> str:
    """Call the bank."""
    called.append("transfer")
    return f"transfer of {amount}"


@transfer.compensation
async def take_back(_: int, done: str | None, __: StepContext) -> None:
    """Call the bank."""
    called.append(f"take back {done}")


payout.wait_for("receipt", timeout=10 * HOUR)

claim = Saga("claim", input=int)


@claim.step(retry=Retry(attempts=1))
async def book(amount: int, _: StepContext) -> int:
    """Call the books."""
    called.append("book")
    return amount


@book.compensation(retry=Retry(attempts=1))
async def unbook(_: int, __: int | None, ___: StepContext) -> None:
    """Call the books."""
    called.append("unbook")


claim.sleep("cool", seconds=24 * HOUR)
claim.wait_for("approval", timeout=48 * HOUR)


@claim.sub_saga(payout)
def pay(amount: int, _: StepContext) -> int:
    """Pay the amount."""
    return amount


@pay.compensation(retry=Retry(attempts=1))
async def claw_back(_: int, __: Any, ___: StepContext) -> None:
    """Call the bank."""
    called.append("claw back")


@claim.step(compensable=False, retry=Retry(attempts=1))
async def close(_: int, ctx: StepContext) -> str:
    """Call the books."""
    called.append("close")
    return f"{ctx.result('approval')}, {ctx.result('pay')}"


YES = PlannedSignal("approval", "granted", actor="ann")
RECEIPT = PlannedSignal("receipt", "r-1", saga="pay")
NO_CALL: dict[str, Any] = {"call": False}


@pytest.fixture(autouse=True)
def _nothing_called() -> None:
    called.clear()


def hours_of(rehearsal: Rehearsal) -> float:
    """How long the saga took."""
    return (rehearsal.saga_events[-1].at - rehearsal.saga_events[0].at) / timedelta(hours=1)


def test_a_sub_saga_is_rehearsed_like_the_saga_itself() -> None:
    """With its own steps, signals and events; the clock jumps over the day that the saga waits."""
    played = rehearse(claim, 7, signals=[YES, RECEIPT])

    assert (played.state.status, decode(played.state.result or b"")) == (Status.COMPLETED, "granted, r-1")
    assert called == ["book", "transfer", "close"]
    assert [attempt.step for attempt in played.sub_sagas["pay"].attempts] == ["transfer"]
    assert played.sub_sagas["pay"].state.status is Status.COMPLETED
    assert 24 <= hours_of(played) < 24.1
    [signal] = [event for event in played.saga_events if isinstance(event, SignalReceived)]
    assert signal.actor == "ann"


def test_the_outcome_of_a_sub_saga_can_be_planned_instead() -> None:
    """Its result, or its failure, of which the saga knows that nothing is left."""
    paid = rehearse(claim, 7, signals=[YES], results={"pay": "paid", "book": 7, "close": "done"}, **NO_CALL)
    failed = rehearse(claim, 7, signals=[YES], fail={"pay": StepRejected("closed")}, results={"book": 7}, **NO_CALL)

    assert (paid.state.status, paid.sub_sagas) == (Status.COMPLETED, {})
    assert failed.state.status is Status.COMPENSATED
    assert [(a.step, a.direction) for a in failed.attempts] == [("book", Direction.FORWARD), ("book", UNDO)]
    assert called == []


def test_who_starts_the_saga_starts_its_sub_sagas() -> None:
    """As in a worker: a sub-saga that excludes its requester from approving has one."""
    checked = Saga("checked", input=int)
    checked.wait_for("check", exclude_requester=True)
    whole = Saga("whole", input=int)
    whole.sub_saga(checked, name="check", compensable=False)(lambda number, _: number)

    played = rehearse(whole, 1, signals=[PlannedSignal("check", saga="check", actor="ann")])

    assert played.sub_sagas["check"].state.started_by == played.state.started_by == "rehearsal"


def test_a_step_of_a_sub_saga_is_planned_by_its_path() -> None:
    """It fails there; the sub-saga turns back, and then the saga."""
    played = rehearse(claim, 7, signals=[YES], fail={"pay/transfer": StepRejected("no money")}, results={"book": 7})

    assert played.sub_sagas["pay"].state.cause == "step transfer failed (StepRejected)"
    assert played.state.cause == "step pay failed (SubSagaCompensated)"
    assert called == ["unbook"]


@pytest.mark.parametrize(
    ("planned", "status", "hours"),
    [
        ({"signals": [PlannedSignal("approval", refused=True, reason="no")]}, Status.COMPENSATED, 24),
        ({"signals": [PlannedSignal("approval", "ok", at=30 * HOUR), RECEIPT]}, Status.COMPLETED, 30),
        ({"signals": [PlannedSignal("approval", "ok", step="approval", at=0), RECEIPT]}, Status.COMPLETED, 24),
        ({"signals": []}, Status.COMPENSATED, 72),
        ({"cancel_at": 5 * HOUR}, Status.COMPENSATED, 5),
        ({"cancel_at": 25 * HOUR}, Status.COMPENSATED, 25),
        ({"signals": [YES]}, Status.COMPENSATED, 34),
        ({"signals": [YES], "cancel_at": 26 * HOUR}, Status.COMPENSATED, 26),
    ],
)
def test_what_comes_from_outside_comes_when_it_is_planned(planned: Any, status: Status, hours: int) -> None:
    """A refusal, an early or late approval, none at all, a cancellation; also while a sub-saga waits."""
    played = rehearse(claim, 7, **planned)

    assert played.state.status is status
    assert hours <= hours_of(played) < hours + 0.1


def test_a_sub_saga_is_cancelled_by_its_parent_as_a_worker_does_it() -> None:
    """With the actor and the reason that the log has then."""
    played = rehearse(claim, 7, signals=[YES], cancel_at=26 * HOUR)

    cancelled = [event for event in played.sub_sagas["pay"].saga_events if isinstance(event, CancelRequested)]
    assert [(event.actor, event.reason) for event in cancelled] == [
        ("saga claim-rehearsal", "the saga that it is a step of compensates")
    ]


def test_a_rehearsal_can_stop_at_a_time() -> None:
    """The saga is as it is then."""
    played = rehearse(claim, 7, until=23 * HOUR)

    assert played.state.status is Status.WAITING
    assert not any(isinstance(event, SignalReceived) for event in played.saga_events)


def test_people_decide_when_a_step_needs_them() -> None:
    """One after the other."""
    fail = {("book", UNDO): [OSError("down")], "close": StepRejected("no")}
    played = rehearse(
        claim,
        7,
        signals=[YES],
        results={"pay": "paid", ("pay", UNDO): None},
        fail=fail,
        interventions=[PlannedIntervention("retry", step="book", actor="bob")],
    )

    assert played.state.status is Status.COMPENSATED
    assert called == ["book", "unbook"]


@pytest.mark.parametrize(
    ("planned", "named"),
    [
        (
            {"fail": {"close": OSError("x")}, "signals": [PlannedSignal("approval", refused=True, reason="no")]},
            "'close'",
        ),
        ({"fail": {"book": [OSError("x"), OSError("y")]}}, "1 of the 2 failures planned for step 'book'"),
        ({"fail": {"book": StepRejected("x"), ("pay", UNDO): OSError("y")}}, "compensation of step 'pay'"),
        ({"results": {"pay": 1}}, "the result planned for step 'pay'"),
        ({"results": {"book": 1}, "fail": {"book": StepRejected("x")}}, "the result planned for step 'book'"),
        ({"signals": [YES], "fail": {"book": StepRejected("x")}}, "the signal 'approval'"),
        ({"signals": [PlannedSignal("approval", at=90 * HOUR)]}, "the signal 'approval' at 324000 seconds"),
        ({"signals": [YES, PlannedSignal("approval", at=0)]}, "the signal 'approval'"),
        ({"signals": [YES, RECEIPT], "interventions": [PlannedIntervention("retry")]}, "the intervention 'retry'"),
        ({"signals": [YES, RECEIPT], "cancel_at": 99 * HOUR}, "the cancellation at 356400 seconds"),
    ],
)
def test_what_is_planned_in_vain_is_an_error(planned: Any, named: str) -> None:
    """The rehearsal never came to it: the test does not test what it says."""
    with pytest.raises(AssertionError, match=r"never reached: .*" + named.replace("(", r"\(")):
        rehearse(claim, 7, **planned)


@pytest.mark.parametrize(
    ("planned", "said"),
    [
        ({"fail": {"clsoe": OSError()}}, "'clsoe' is for no step of the rehearsed saga 'claim'"),
        ({"results": {"pay/tranfser": 1}}, "'pay/tranfser' is for no step"),
        ({"call": {"boook"}}, "name in `call` 'boook' is for no step"),
        ({"fail": {("close", UNDO): OSError()}}, "'close' has no compensation"),
        ({"fail": {"cool": OSError()}}, "it is a timer"),
        ({"fail": {"approval": OSError()}}, r"plan signals=\[PlannedSignal\('approval', …, refused=True\)\]"),
        ({"results": {"approval": "yes"}}, "it waits for a signal"),
        ({"results": {"book": "seven"}}, "cannot be its result"),
        ({"signals": [PlannedSignal("aproval")]}, r"waits for the signal 'aproval': they wait for \['approval'\]"),
        ({"signals": [PlannedSignal("receipt")]}, "waits for the signal 'receipt'"),
        ({"signals": [PlannedSignal("receipt", saga="book")]}, "'book', which is no saga of its own"),
        ({"signals": [PlannedSignal("approval", step="book")]}, "waits for the signal 'approval'"),
        ({"call": False}, r"step 'book' .* calls a service, and nothing is planned .*call=\{'book'\}"),
        ({"call": {"close"}}, "step 'book' of the rehearsed saga 'claim' calls a service"),
    ],
)
def test_a_plan_that_cannot_happen_is_refused(planned: Any, said: str) -> None:
    """Before anything runs, with what to write instead; a step that may not be called, when its turn comes."""
    with pytest.raises(DefinitionError, match=said):
        rehearse(claim, 7, **planned)
    assert called == []


def test_what_no_rehearsal_takes_is_refused() -> None:
    """A mistyped word must not leave a plan out."""
    mistyped: Any = {"signal": [YES]}
    with pytest.raises(TypeError, match=r"is given no 'signal': it takes \['call', .*'signals'"):
        rehearse(claim, 7, **mistyped)
    with pytest.raises(TypeError, match="is given no 'signal'"):
        list(rehearse_each_failure(claim, 7, StepRejected("no"), **mistyped))


@pytest.mark.parametrize(
    ("planned", "said"),
    [
        ({"cancel_at": float("nan")}, "cancel_at is nan: use a number of seconds"),
        ({"until": "noon"}, "until is 'noon'"),
        ({"signals": [PlannedSignal("approval", at=float("nan"))]}, "when the signal 'approval' is sent is nan"),
    ],
)
def test_a_time_that_no_clock_shows_is_refused(planned: Any, said: str) -> None:
    """Compared with it, no time is ever over."""
    with pytest.raises(InvalidInput, match=said):
        rehearse(claim, 7, **planned)


def test_a_local_step_is_decided_by_its_participants() -> None:
    """Its failure can be planned, its result cannot."""
    with pytest.raises(DefinitionError, match="say what they hold by `given`"):
        rehearse(trip, Trip("Rome", 1), participants=[TRAIN], results={"take_seats": None})
    failed = rehearse(trip, Trip("Rome", 1), participants=[TRAIN], fail={"take_seats": StepRejected("no")})

    assert failed.state.cause == "step take_seats failed (StepRejected)"


def test_a_decision_that_the_saga_does_not_allow_is_raised() -> None:
    """As by `Ledger.cancel`."""
    with pytest.raises(WrongState, match="already turning back"):
        rehearse(claim, 7, fail={"book": OSError("x"), ("book", UNDO): OSError("y")}, cancel_at=HOUR)


def test_each_step_fails_in_turn_and_the_rest_of_the_plan_need_not_be_reached() -> None:
    """A signal is refused, a timer left out; what no rehearsal reaches is an error."""
    results = {"book": 7, "pay": "paid", "close": "done"}
    steps = dict(rehearse_each_failure(claim, 7, StepRejected("no"), signals=[YES], results=results, call=False))

    assert list(steps) == ["book", "approval", "pay", "close"]
    assert {played.state.status for played in steps.values()} == {Status.COMPENSATED}
    assert [a.step for a in steps["close"].attempts if a.direction is UNDO] == ["pay", "book"]
    with pytest.raises(AssertionError, match="is waiting before step 'transfer2': plan what it waits for"):
        list(rehearse_each_failure(_stuck(), 1, StepRejected("no")))
    with pytest.raises(AssertionError, match="never reached: the result planned for the compensation of step 'book'"):
        list(rehearse_each_failure(_one_step(), 1, StepRejected("no"), results={("book", UNDO): None}))


def _stuck() -> Saga[int]:
    saga = Saga("stuck", input=int)
    saga.wait_for("word")
    saga.step(name="transfer2", compensable=False)(transfer.action)
    return saga


def _one_step() -> Saga[int]:
    saga = Saga("one_step", input=int)
    saga.step(name="book")(book.action).compensation(book.undo)
    return saga


def test_a_condition_may_leave_a_step_out() -> None:
    """Such a step does not fail in turn, and a plan for it is in vain."""
    saga = Saga("maybe", input=int)

    @saga.step(compensable=False)
    async def always(_: int, __: StepContext) -> None:
        """Do it."""

    @saga.step(compensable=False, when=lambda number, _: number > 1)
    async def often(_: int, __: StepContext) -> None:
        """Do it, too."""

    assert [step for step, _ in rehearse_each_failure(saga, 1, StepRejected("no"))] == ["always"]
    assert [step for step, _ in rehearse_each_failure(saga, 2, StepRejected("no"))] == ["always", "often"]
    with pytest.raises(AssertionError, match="'often'"):
        rehearse(saga, 1, results={"often": None})


def test_items_are_planned_one_by_one_or_together() -> None:
    """By the step's name, or by that of an item."""
    saga = Saga("orders", input=int)

    @saga.for_each(items=lambda count, _: range(count))
    async def send(number: int, _: StepContext) -> str:
        called.append(f"send {number}")
        return str(number)

    @send.compensation
    async def unsend(_: int, __: str | None, ___: StepContext) -> None:
        """Fetch it back."""

    done = rehearse(saga, 3, results={"send": "x"}, call=False)
    failed = rehearse(saga, 3, fail={"send[2]": StepRejected("no")}, results={"send[0]": "a"})

    assert done.state.status is Status.COMPLETED
    assert failed.state.status is Status.COMPENSATED
    assert called == ["send 1"]
    with pytest.raises(AssertionError, match=r"step 'send\[5\]'"):
        rehearse(saga, 3, results={"send": "x", "send[5]": "y"}, call=False)


# Given, when, then


def test_a_scenario_reads_as_a_sentence_and_calls_nothing() -> None:
    """Compensations are taken to succeed."""
    happened = (
        Scenario(claim)
        .given(results={"book": 7, "pay": "paid"}, fail={"close": StepRejected("late")}, signals=[YES])
        .when(7)
        .then(status=Status.COMPENSATED, called=["book", "close"], compensated=["pay", "book"])
    )

    assert happened.rehearsal.state.cause == "step close failed (StepRejected)"
    assert called == []


def test_a_scenario_has_participants_and_may_call_what_it_names() -> None:
    """What streams hold is given, and what was recorded is compared."""
    scenario = Scenario(trip, participants=[TRAIN])
    happened = scenario.given(results={"send_tickets": "sent"}, call=["book_hotel"]).when(Trip("Rome", 2))

    happened.then(status=Status.COMPLETED, result="sent", recorded=[SeatsTaken], called=["book_hotel", "send_tickets"])
    Scenario(claim).given(call=["book"]).when(7, until=25 * HOUR).then(status=Status.WAITING, waits_for="approval")


@pytest.mark.parametrize(
    "wrong",
    [
        {"status": Status.COMPLETED},
        {"result": "x"},
        {"called": ["book"]},
        {"compensated": []},
        {"recorded": [SeatsTaken]},
        {"waits_for": "approval"},
    ],
)
def test_what_did_not_happen_is_told_with_what_did(wrong: Any) -> None:
    """Each part of `then` can fail."""
    happened = (
        Scenario(claim)
        .given(results={"book": 7}, signals=[PlannedSignal("approval", refused=True, reason="no")])
        .when(7)
    )
    happened.then(called=["book"], compensated=["book"])

    if wrong == {"called": ["book"]}:
        wrong = {"called": []}
    with pytest.raises(AssertionError, match=r"expected .*, found .*\n  SagaStarted\n  StepStarted book"):
        happened.then(**wrong)
