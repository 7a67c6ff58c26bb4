"""Approvals by several people: each actor counts once, in order, and one refusal ends the waiting."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from msgspec import Raw
from msgspec.structs import replace

from sagaledger.domain.errors import DefinitionError
from sagaledger.domain.event import Event
from sagaledger.domain.saga.definition import Definition
from sagaledger.domain.saga.event_parts import Failure, Wait
from sagaledger.domain.saga.events import (
    ApprovalCounted,
    Effect,
    SagaStarted,
    SignalReceived,
    SignalRejected,
    StepFailed,
    StepStarted,
    StepSucceeded,
)
from sagaledger.domain.saga.evolve import evolve, fold_all
from sagaledger.domain.saga.signal_check import rejected_signals
from sagaledger.domain.saga.signals import Share, shares
from sagaledger.domain.saga.state import SagaState
from sagaledger.domain.saga.step_state import Progress, StepState

from .test_signals import NOON, Scene, at, four_eyes


def says(
    second: float, actor: str, payload: str = "null", *, step: str | None = None, refused: bool = False
) -> SignalReceived:
    """What an actor said, recorded at this second."""
    return SignalReceived(at(second), "approval", Raw(payload.encode()), actor, f"why {actor}", refused, step)


def started_by(actor: str | None, definition: Definition) -> Scene:
    """A saga that this actor started."""
    scene = Scene(definition)
    scene.events[0] = SagaStarted(NOON, "four_eyes", 1, "f", Raw(b"{}"), actor=actor)
    return scene


def counted(scene: Scene) -> list[tuple[str, str, int, int]]:
    """The approvals that counted: step, actor, and how many of how many."""
    events = [event for event in scene.events if isinstance(event, ApprovalCounted)]
    return [(event.step, event.actor, event.approvals, event.needed) for event in events]


def test_the_result_lists_who_approved_when_why_and_with_what() -> None:
    """In the order in which they did; the step waits until the last one has."""
    scene = Scene(four_eyes(release={"approvals": 2}))
    scene.look(0)
    scene.receive(says(1, "ann", "7"))
    scene.look(2)
    assert scene.state.step("release").forward.progress is Progress.WAITING

    scene.receive(says(3, "bob"))
    scene.look(4)

    assert msgspec.json.decode(scene.ended["release"]) == [
        {"actor": "ann", "at": "2020-01-01T12:00:01Z", "payload": 7, "reason": "why ann"},
        {"actor": "bob", "at": "2020-01-01T12:00:03Z", "payload": None, "reason": "why bob"},
    ]
    assert counted(scene) == [("release", "ann", 1, 2), ("release", "bob", 2, 2)]


def test_one_actor_counts_once() -> None:
    """A second approval of theirs is kept, and counts for the next step that waits for the same."""
    scene = Scene(four_eyes(first={"approvals": 2}, second={"approvals": 2}))
    scene.look(0)
    scene.receive(says(1, "ann"), says(2, "ann"), says(3, "bob"))
    scene.look(4)

    assert counted(scene) == [("first", "ann", 1, 2), ("first", "bob", 2, 2), ("second", "ann", 1, 2)]
    assert scene.state.signals == {}


@pytest.mark.parametrize("approvals", [None, 1])
def test_whoever_started_the_saga_does_not_count(approvals: int | None) -> None:
    """The recorded wait names them, so that nothing else has to know the definition."""
    scene = started_by("ann", four_eyes(release={"approvals": approvals, "exclude_requester": True}))
    scene.look(0)
    scene.receive(says(1, "ann", "1"))
    scene.look(2)
    assert scene.ended == {}

    scene.receive(says(3, "bob", "2"))
    scene.look(4)

    [wait] = [event.wait for event in scene.events if isinstance(event, StepStarted)]
    assert wait is not None
    assert wait.excluded == ("ann",)
    assert ("bob" in scene.ended["release"]) if approvals else (scene.ended["release"] == "2")


def test_an_excluded_actor_may_refuse() -> None:
    """Nothing is approved by that; the error names who refused and why."""
    scene = Scene(four_eyes(release={"approvals": 2, "excluded": ["robot"]}))
    scene.look(0)
    scene.receive(says(1, "robot"), says(2, "ann"), says(3, "robot", refused=True), says(4, "bob"))
    scene.look(5)

    [failed] = [event for event in scene.events if isinstance(event, StepFailed)]
    assert (failed.error.type, failed.error.message) == ("Refused", "approval was refused by robot: why robot")
    assert counted(scene) == [("release", "ann", 1, 2)]


def test_a_wait_that_is_late_says_who_had_approved() -> None:
    """An approval at the very moment at which it ends still counts, a later one does not."""
    scene = Scene(four_eyes(release={"approvals": 3, "timeout": 5}))
    scene.look(0)
    scene.receive(says(5, "ann"), says(5.1, "bob"))
    scene.look(86_400)

    [failed] = [event for event in scene.events if isinstance(event, StepFailed)]
    assert failed.error.type == "SignalTimeout"
    assert failed.error.message.endswith(": 1 of 3 approved, by ann")


def test_as_many_approvals_as_there_may_be_are_decided_at_once() -> None:
    """A worker that was away finds them all."""
    scene = Scene(four_eyes(**{name: {"approvals": 20} for name in ("first", "second")}))
    scene.receive(*(says(number, f"actor {number % 20}") for number in range(40)))
    scene.look(60)

    assert [count for _, _, count, _ in counted(scene)] == [*range(1, 21)] * 2
    assert set(scene.ended) == {"first", "second"}


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"approvals": 0}, "saga 'four_eyes': step 'release' has approvals=0: use a whole number from 1 to 20"),
        ({"approvals": 21}, "approvals=21"),
        ({"approvals": True}, "approvals=True"),
        ({"approvals": 2.0}, "approvals=2.0"),
        ({"excluded": "robot"}, "excluded='robot': use a list of actors"),
        ({"excluded": [7]}, r"excluded=\[7\]"),
        ({"excluded": 7}, "excluded=7"),
        ({"exclude_requester": "ann"}, "exclude_requester='ann': use True or False"),
        ({"type": object()}, "has a type that cannot be read back from JSON"),
        ({"type": complex}, "has the type complex, which cannot be read back"),
    ],
)
def test_a_wait_that_cannot_work_is_refused_where_it_is_declared(options: dict[str, Any], said: str) -> None:
    """The message names the saga and the step."""
    with pytest.raises(DefinitionError, match=said):
        four_eyes(release=options)


def test_steps_that_wait_for_one_signal_agree_about_its_type() -> None:
    """Its sender may not know which of them takes it."""
    with pytest.raises(
        DefinitionError, match="steps 'first' and 'second' wait for signal 'approval' with different ty"
    ):
        four_eyes(first={"type": int}, second={})
    four_eyes(first={"type": int}, second={"type": int, "approvals": 2})


def test_what_a_wait_takes_is_part_of_the_fingerprint_if_it_is_declared() -> None:
    """A plain wait has the fingerprint that it always had."""
    options: list[dict[str, Any]] = [
        {}, {"type": int}, {"approvals": 1}, {"approvals": 2}, {"excluded": ["a"]}, {"exclude_requester": True},
    ]  # fmt: skip
    found = [four_eyes(release=each).fingerprint for each in options]

    assert found[0] == "91984ab338a3362c"
    assert len(set(found)) == len(found)
    assert (
        four_eyes(release={"excluded": ["b", "a"]}).fingerprint
        == four_eyes(release={"excluded": {"a", "b"}}).fingerprint
    )


def test_a_signal_that_does_not_fit_is_rejected_before_a_step_takes_it() -> None:
    """Also one that is too large for a list of approvals; refusals have no payload to fit."""
    definition = four_eyes(release={"type": int, "approvals": 20})
    scene = Scene(definition)
    scene.look(0)
    scene.receive(says(1, "ann", '"seven"'), says(2, "bob", "8"), says(3, "x" * 20_000, "9"))
    scene.receive(says(4, "cid", '"no"', refused=True))

    rejected = rejected_signals(definition.signal_checks, scene.state, at(5))
    scene.events += rejected

    assert [(event.signal, event.error.type) for event in rejected] == [(3, "ValidationError"), (5, "PayloadTooLarge")]
    assert [signal.actor for signal in scene.state.signals["approval"]] == ["bob", "cid"]


ACTORS = ("ann", "bob", "cid")


class Rule:
    """Who ends what, told in another way than the code does: as signals and waits are recorded, not when one looks.

    A signal goes at once to the wait that began first of those that it counts for, or else stays; a wait takes, when it
    begins, what stayed.
    """

    def __init__(self) -> None:
        self.open: list[SignalReceived] = []
        self.waits: dict[str, tuple[Wait, list[SignalReceived]]] = {}

    def hear(self, event: Event) -> None:
        """One more event is recorded."""
        if isinstance(event, SignalReceived):
            if not any(self._give(event, step) for step in self.waits):
                self.open.append(event)
        elif isinstance(event, StepStarted) and event.wait is not None:
            self.waits[event.step] = (event.wait, [])
            self.open = [signal for signal in self.open if not self._give(signal, event.step)]
        elif isinstance(event, StepSucceeded | StepFailed):
            self._ended(event)

    def is_settled(self, step: str) -> bool:
        """Whether nothing more is needed."""
        wait, taken = self.waits[step]
        return any(signal.refused for signal in taken) or len(taken) >= (wait.approvals or 1)

    def _give(self, signal: SignalReceived, step: str) -> bool:
        wait, taken = self.waits[step]
        late = wait.due_at is not None and signal.at > wait.due_at
        known = [*wait.excluded, *(other.actor for other in taken)]
        if late or self.is_settled(step) or signal.step not in (None, step):
            return False
        if signal.actor in known and not signal.refused:
            return False
        taken.append(signal)
        return True

    def _ended(self, event: StepSucceeded | StepFailed) -> None:
        wait, taken = self.waits.pop(event.step)
        if isinstance(event, StepSucceeded):
            assert len(taken) == (wait.approvals or 1)
            result = msgspec.json.decode(event.result)
            payloads = [msgspec.json.decode(signal.payload) for signal in taken]
            assert result == payloads[0] if wait.approvals is None else [each["payload"] for each in result] == payloads
            assert not any(signal.refused for signal in taken)
        elif event.error.type == "Refused":
            assert taken[-1].refused
            assert f"refused by {taken[-1].actor}" in event.error.message
        else:
            assert len(taken) < (wait.approvals or 1)
            assert wait.due_at is not None
            assert event.at >= wait.due_at


@st.composite
def plays(draw: st.DrawFn) -> Scene:
    """Waits of one name, in sequence and beside each other; whatever is said while a worker comes and goes."""
    steps = ["a", "b", "c"]
    options: dict[str, dict[str, Any]] = {}
    for name in steps:
        options[name] = {
            "timeout": draw(st.none() | st.integers(1, 12)),
            "approvals": draw(st.none() | st.integers(1, 3)),
            "exclude_requester": draw(st.booleans()),
            **({"after": []} if draw(st.booleans()) else {}),
        }
    scene = started_by(draw(st.none() | st.sampled_from(ACTORS)), four_eyes(**options))
    for second in range(draw(st.integers(1, 14))):
        doings = draw(st.lists(st.sampled_from(["signal", "signal", "look"]), max_size=3))
        for doing in doings:
            if doing == "look":
                scene.look(second)
            else:
                step = draw(st.none() | st.none() | st.sampled_from(steps))
                refused = draw(st.sampled_from([False, False, False, False, True]))
                actor = draw(st.sampled_from(ACTORS))
                scene.receive(says(second, actor, str(len(scene.events)), step=step, refused=refused))
    return scene


@settings(max_examples=120, deadline=None)
@given(plays(), st.sampled_from([14, 86_400]))
def test_who_ends_a_wait_depends_on_what_was_recorded_alone(scene: Scene, second: int) -> None:
    """Not on when a worker looked: each end of a wait, and each wait that goes on, is as the rule says."""
    told = shares(scene.state, "approval", {})
    waiting = dict(scene.state.steps)
    scene.look(second)
    _is_as_senders_were_told(scene, told, waiting)
    rule = Rule()
    for event in scene.events:
        rule.hear(event)

    if not scene.state.compensating and scene.state.end is None:
        for step, (wait, _) in rule.waits.items():
            assert not rule.is_settled(step)
            assert wait.due_at is None or scene.looked < wait.due_at
    kept = [signal.version for queue in scene.state.signals.values() for signal in queue]
    if not rule.waits:
        versions = {id(event): version for version, event in enumerate(scene.events, 1)}
        assert kept == [versions[id(signal)] for signal in rule.open]


def _is_as_senders_were_told(scene: Scene, told: dict[str, Share], before: dict[str, StepState]) -> None:
    """What a sender is told of a step, before a worker looks, is what comes of it."""
    for step, share in told.items():
        after = scene.state.step(step).forward
        assert before[step].forward.progress is Progress.WAITING
        if after.progress is Progress.DONE:
            assert share.is_settled
            assert not share.is_refused
        elif after.progress is Progress.WAITING:
            assert not share.is_settled or scene.state.compensating
        if share.wait.approvals is not None and not scene.state.compensating and not scene.state.end:
            assert after.approvals == share.approvals


def test_approvals_of_an_earlier_attempt_do_not_count_again() -> None:
    """A person who lets a step wait again lets it ask again."""
    scene = Scene(four_eyes(release={"approvals": 2}))
    scene.look(0)
    scene.receive(says(1, "ann"))
    scene.look(2)
    [begun] = [event for event in scene.events if isinstance(event, StepStarted)]
    late = StepFailed(at(3), "release", 1, Failure("SignalTimeout", "late"), Effect.NONE, retryable=False)
    assert len(scene.state.step("release").forward.approvals) == 1

    scene.events += [late, replace(begun, attempt=2)]
    scene.receive(says(4, "ann"), says(5, "bob"))
    assert scene.state.step("release").forward.approvals == ()
    scene.look(6)

    assert [approval["actor"] for approval in msgspec.json.decode(scene.ended["release"])] == ["ann", "bob"]
    assert counted(scene)[1:] == [("release", "ann", 1, 2), ("release", "bob", 2, 2)]


@settings(max_examples=30, deadline=None)
@given(plays(), st.data())
def test_a_state_is_the_fold_of_its_events_in_any_runs(scene: Scene, data: st.DataObject) -> None:
    """One by one and in one go; events of signals that are not there change nothing else."""
    scene.look(14)
    one_by_one = SagaState("four_eyes-1")
    for event in scene.events:
        one_by_one = evolve(one_by_one, event)
    assert one_by_one == scene.state

    step, number = data.draw(st.sampled_from(["a", "other"])), data.draw(st.integers(0, 40))
    odd = [ApprovalCounted(at(0), step, 1, number + 100, "ann", 1, 2), SignalRejected(at(0), "other", number, None)]  # type: ignore[arg-type]
    state = fold_all(one_by_one, odd)
    assert (state.steps, state.signals) == (one_by_one.steps, one_by_one.signals)
