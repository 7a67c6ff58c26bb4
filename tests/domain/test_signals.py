"""Each signal ends the waiting of one step, in order, if it came in time by the recorded times."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from time import monotonic
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec import Raw

from sagaledger.domain.event import Event
from sagaledger.domain.saga.decide import advance, started
from sagaledger.domain.saga.definition import Definition
from sagaledger.domain.saga.events import SagaStarted, SignalReceived, StepFailed, StepSucceeded
from sagaledger.domain.saga.evolve import evolve, fold_all, rebuild
from sagaledger.domain.saga.saga import Saga
from sagaledger.domain.saga.state import SagaState

NOON = datetime(2020, 1, 1, 12, tzinfo=UTC)


def at(second: float) -> datetime:
    """An instant after the start."""
    return NOON + timedelta(seconds=second)


def four_eyes(**options: dict[str, Any]) -> Definition:
    """A saga whose steps wait for signals of one name; options of each step by its name."""
    saga = Saga("four_eyes", input=dict[str, Any])
    for name, its in options.items():
        saga.wait_for(name, signal="approval", **its)
    return saga.definition


def signal(second: float, payload: str, *, step: str | None = None) -> SignalReceived:
    """A signal that was recorded at this second."""
    return SignalReceived(at(second), "approval", Raw(payload.encode()), "boss", None, False, step)


class Scene:
    """A saga and the times at which a worker looked at it."""

    def __init__(self, definition: Definition) -> None:
        self.definition = definition
        self.events: list[Event] = [SagaStarted(NOON, "four_eyes", 1, "f", Raw(b"{}"))]
        self.looked = NOON
        """When a worker looked last."""

    def look(self, second: float) -> None:
        """A worker looks at the saga: it records what follows until nothing does."""
        self.looked = at(second)
        while True:
            ahead = advance(self.definition, self.state, at(second))
            self.events += ahead.events
            for attempt in ahead.decision.wait:
                self.events.append(started(self.definition, self.state, attempt, at(second)))
            if not ahead.decision.wait:
                return

    def receive(self, *signals: SignalReceived) -> None:
        """Signals are recorded."""
        self.events += signals

    @property
    def state(self) -> SagaState:
        return rebuild("four_eyes-1", self.events)

    @property
    def ended(self) -> dict[str, str]:
        """The result of each step, or the type of its error."""
        ends: dict[str, str] = {}
        for event in self.events:
            if isinstance(event, StepSucceeded):
                ends[event.step] = bytes(event.result).decode()
            elif isinstance(event, StepFailed):
                ends[event.step] = event.error.type
        return ends


def test_one_signal_ends_one_wait() -> None:
    """The second step still waits after the first approval."""
    scene = Scene(four_eyes(first={}, second={}))
    scene.look(0)
    scene.receive(signal(1, "1"))
    scene.look(2)
    assert scene.ended == {"first": "1"}
    assert scene.state.signals == {}

    scene.receive(signal(3, "2"))
    scene.look(4)
    assert scene.ended == {"first": "1", "second": "2"}


def test_signals_that_come_before_the_waits_are_taken_in_order() -> None:
    """They are a queue, which the state shows."""
    scene = Scene(four_eyes(first={}, second={}))
    scene.receive(signal(1, "1"), signal(2, "2"), signal(3, "3"))
    assert [bytes(each.payload) for each in scene.state.signals["approval"]] == [b"1", b"2", b"3"]

    scene.look(4)

    assert scene.ended == {"first": "1", "second": "2"}
    assert [bytes(each.payload) for each in scene.state.signals["approval"]] == [b"3"]


def test_the_step_that_began_to_wait_first_takes_the_signal() -> None:
    """Whatever the order of declaration."""
    saga = Saga("four_eyes", input=dict[str, Any])
    saga.sleep("pause", seconds=10, after=[])
    saga.wait_for("late", signal="approval", after=["pause"])
    saga.wait_for("early", signal="approval", after=[])
    scene = Scene(saga.definition)
    scene.look(0)
    scene.look(10)
    scene.receive(signal(11, "1"))
    scene.look(12)

    assert scene.ended == {"pause": "null", "early": "1"}


@pytest.mark.parametrize("looked", [1, 6, 60])
@pytest.mark.parametrize(("came", "end"), [(4.9, "1"), (5, "1"), (5.1, "SignalTimeout")])
def test_whether_a_signal_came_in_time_depends_on_the_recorded_times_alone(
    looked: float, came: float, end: str
) -> None:
    """Not on whether a worker was there at that moment."""
    scene = Scene(four_eyes(first={"timeout": 5}))
    scene.look(0)
    if looked < came:
        scene.look(looked)
    scene.receive(signal(came, "1"))
    scene.look(60)

    assert scene.ended == {"first": end}


def test_a_signal_too_late_for_one_step_counts_for_another() -> None:
    """Each wait has a time of its own."""
    scene = Scene(four_eyes(first={"timeout": 5, "after": []}, second={"after": []}))
    scene.look(0)
    scene.receive(signal(6, "1"))
    scene.look(4)  # by its clock, which is behind, the first step still waits

    assert scene.ended == {"second": "1"}


def test_a_signal_for_one_step_counts_for_no_other() -> None:
    """It is kept until that step waits."""
    scene = Scene(four_eyes(first={}, second={}))
    scene.look(0)
    scene.receive(signal(1, "2", step="second"))
    scene.look(2)
    assert scene.ended == {}

    scene.receive(signal(3, "1"))
    scene.look(4)
    assert scene.ended == {"first": "1", "second": "2"}


@given(st.data())
def test_no_signal_is_taken_twice_or_lost(data: st.DataObject) -> None:
    """Whenever signals come and a worker looks, and however the events are folded."""
    names = ["a", "b", "c"]
    options: dict[str, dict[str, Any]] = {}
    for name in names:
        timeout = data.draw(st.none() | st.integers(1, 20))
        options[name] = {"timeout": timeout, **({"after": []} if data.draw(st.booleans()) else {})}
    scene = Scene(four_eyes(**options))
    for second in range(data.draw(st.integers(1, 20))):
        if data.draw(st.booleans()):
            scene.receive(signal(second, str(second), step=data.draw(st.none() | st.sampled_from(names))))
        if data.draw(st.booleans()):
            scene.look(second)

    taken = [end for end in scene.ended.values() if end.isdigit()]
    kept = [bytes(each.payload).decode() for each in scene.state.signals.get("approval", ())]
    sent = [bytes(event.payload).decode() for event in scene.events if isinstance(event, SignalReceived)]
    assert sorted([*taken, *kept], key=int) == sent
    assert kept == sorted(kept, key=int)
    one_by_one = SagaState("four_eyes-1")
    for event in scene.events:
        one_by_one = evolve(one_by_one, event)
    assert one_by_one == scene.state


@pytest.mark.parametrize("same_name", [True, False])
def test_many_signals_are_folded_in_time_that_grows_with_their_number(same_name: bool) -> None:
    """An older version recorded any number of them: the state is not copied for each."""
    events = [SignalReceived(NOON, "n" if same_name else f"n{n}", Raw(b"1"), "a") for n in range(100_000)]

    began = monotonic()
    state = fold_all(SagaState("four_eyes-1"), events)

    assert sum(map(len, state.signals.values())) == 100_000
    assert monotonic() - began < 5  # copied for each it takes minutes
