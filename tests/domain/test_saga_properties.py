"""Whatever the definition, the failures and the order of completion: the rules of a saga hold."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st
from msgspec import Raw
from msgspec.structs import replace

from sagaledger.domain.errors import Fail, RetryAfter, StepRejected
from sagaledger.domain.event import Event
from sagaledger.domain.saga.asking import instead_of
from sagaledger.domain.saga.decide import advance, awaited_sagas, started
from sagaledger.domain.saga.decision import Attempt
from sagaledger.domain.saga.definition import Definition
from sagaledger.domain.saga.event_parts import Failure
from sagaledger.domain.saga.events import (
    Action,
    CancelRequested,
    CompensationFailed,
    CompensationStarted,
    ConditionNotMet,
    Direction,
    Effect,
    InterventionResolved,
    ItemsListed,
    SagaCompensated,
    SagaCompleted,
    SagaStarted,
    SignalReceived,
    StepCompensated,
    StepFailed,
    StepOutcomeUnknown,
    StepProgressed,
    StepStarted,
    StepSucceeded,
)
from sagaledger.domain.saga.evolve import evolve, fold_all, rebuild
from sagaledger.domain.saga.outcome import Failed, Success, failure_of, orphaned, outcome_event
from sagaledger.domain.saga.replay import replay
from sagaledger.domain.saga.retry_policy import Retry
from sagaledger.domain.saga.saga import Saga
from sagaledger.domain.saga.state import SagaState, Status
from sagaledger.domain.saga.step_context import StepContext
from sagaledger.domain.saga.step_kind import ForEach
from sagaledger.domain.saga.step_state import Progress

NOON = datetime(2020, 1, 1, 12, tzinfo=UTC)
MOVES_MAX = 400
SEVEN = timedelta(seconds=7)


CHILD: Saga[Any] = Saga("child", input=dict[str, Any])
CHILD.step(name="only", compensable=False)(lambda *_: None)


_RETRIES = st.builds(Retry, attempts=st.integers(1, 3), backoff_seconds=st.just(1.0))
POLICIES = _RETRIES | st.dictionaries(st.sampled_from([Exception, OSError, TimeoutError]), _RETRIES)


@st.composite
def definitions(draw: st.DrawFn) -> Definition:
    """Sagas of one to six steps: sequences and graphs, with and without a pivot, tried one to three times."""
    count = draw(st.integers(1, 6))
    pivot = draw(st.none() | st.integers(0, count - 1))
    saga = Saga("any", input=dict[str, Any], deadline=draw(st.none() | st.just(30.0)))
    for index in range(count):
        earlier = [f"s{i}" for i in range(index)]
        if pivot is not None and index > pivot:
            after = [f"s{pivot}", *draw(st.lists(st.sampled_from(earlier), unique=True))]
        elif index == pivot:
            after = earlier
        else:
            after = draw(st.lists(st.sampled_from(earlier), unique=True)) if earlier else []
        final = pivot is not None and index >= pivot
        when = draw(st.sampled_from([None, None, *CONDITIONS])) if index != pivot else None
        kinds = (
            ["action", "action", "action", "sleep", "signal", "saga", "list"] if index != pivot else ["action", "saga"]
        )
        kind = draw(st.sampled_from(kinds))
        if kind == "sleep":
            saga.sleep(f"s{index}", seconds=draw(st.sampled_from([1.0, 100.0])), after=after, when=when)
            continue
        if kind == "signal":
            signal = draw(st.none() | st.just("word"))
            saga.wait_for(f"s{index}", signal=signal, timeout=draw(st.none() | st.just(5.0)), after=after, when=when)
            continue
        compensable = final or draw(st.integers(0, 3)) > 0
        if kind == "saga":
            declare = saga.sub_saga(CHILD, name=f"s{index}", after=after, pivot=index == pivot, compensable=compensable)
            step = declare(lambda *_: None)
            if compensable and not final:
                step.compensation(lambda *_: None)
            continue
        retry = draw(POLICIES)
        if kind == "list":
            items = draw(st.sampled_from([_no_list, *(list(range(count)) for count in range(5))]))
            each = saga.for_each(
                items=items if callable(items) else lambda *_, items=items: items,
                name=f"s{index}",
                parallel=draw(st.integers(1, 3)),
                on_failure=draw(st.sampled_from(["compensate", "collect"])),
                after=after,
                retry=retry,
                compensable=compensable,
            )(lambda *_: None)
            if compensable and not final:
                each.compensation(lambda *_: None, retry=retry)
            continue
        step = saga.step(
            name=f"s{index}",
            when=when,
            after=after,
            retry=retry,
            pivot=index == pivot,
            compensable=compensable,
            on_unknown=draw(st.sampled_from(["retry", "compensate"])),
        )(lambda *_: None)
        if compensable and not final:
            step.compensation(lambda *_: None, retry=draw(POLICIES))
    return saga.definition


UNDONE = Failed(Failure("SubSagaCompensated", "it was undone"), Effect.NONE, retryable=False)
ABANDONED = Failed(Failure("SubSagaAbandoned", "it was abandoned"), Effect.UNKNOWN, retryable=False)
Outcome = Success | Failed
ERRORS: dict[str, Exception] = {
    "StepRejected": StepRejected("no"),
    "OSError": OSError("gone"),
    "TimeoutError": TimeoutError("late"),
    "Fail": Fail("broken"),
    "RetryAfter": RetryAfter(7.0),
    "ExceptionGroup": ExceptionGroup("both", [StepRejected("no"), OSError("gone")]),
}


class Play:
    """A worker in memory: it performs decisions, and hypothesis draws their outcomes."""

    def __init__(self, definition: Definition, draw: Any) -> None:
        self.definition = definition
        self.now = NOON
        self.events: list[Event] = []
        self.state = SagaState("any-1")
        self.running: list[Attempt] = []
        self.ended: dict[str, Outcome] = {}
        """How each sub-saga that has ended did so: for ever."""
        self._draw = draw
        deadline = None if definition.deadline is None else NOON + timedelta(seconds=definition.deadline)
        self.record(SagaStarted(NOON, "any", 1, definition.fingerprint, Raw(b"{}"), deadline))

    def record(self, *events: Event) -> None:
        self.events += events
        self.state = fold_all(self.state, events)

    def run(self) -> SagaState:
        """Play until the saga ends or is abandoned."""
        for move in range(MOVES_MAX):
            ahead = advance(self.definition, self.state, self.now)
            self.record(*ahead.events)
            if any(self._is_recorded_instead(attempt) for attempt in ahead.decision.ask):
                continue
            for attempt in ahead.decision.attempts:
                self.record(started(self.definition, self.state, attempt, self.now))
                if self.state.progress_of(attempt.step, attempt.direction).progress is Progress.RUNNING:
                    self.running.append(attempt)
            if self.state.end is not None and not self.running:
                return self.state
            if ahead.decision.wait:
                continue  # a wait began: what comes of it is decided next, as the worker does
            if self.running:
                self._something_happens(troubled=move < MOVES_MAX // 4)
            elif self.state.interventions:
                self._person_decides(move)
            elif awaited_sagas(self.state):
                self._sub_saga_ends(troubled=move < MOVES_MAX // 4)
            elif ahead.decision.wake_at is None or self._draw(st.integers(0, 3)) == 0:
                self._someone_signals()
            else:
                self.now = max(self.now, ahead.decision.wake_at)
        raise AssertionError(f"it does not end: {self.events[-10:]}")

    def _is_recorded_instead(self, attempt: Attempt) -> bool:
        context = StepContext(
            "any-1", attempt.step, attempt.direction, attempt.attempt, attempt.key, lambda *_: None, self.state.steps
        )
        found = instead_of(self.definition, self.state, attempt, context, self.now)
        self.record(*found)
        return bool(found)

    def _something_happens(self, *, troubled: bool) -> None:
        kinds = (
            ["success", "success", "success", "crash", "cancel", "progress", *ERRORS, "OSError"]
            if troubled
            else ["success"]
        )
        kind = self._draw(st.sampled_from(kinds))
        self.now += timedelta(seconds=1)
        if kind == "crash":
            self.record(*orphaned(self.definition, self.state, "w", self.now))
            self.running.clear()
        elif kind == "cancel":
            self._someone_cancels()
        elif kind == "progress":
            run = self._draw(st.sampled_from(self.running))
            self.record(StepProgressed(self.now, run.step, run.attempt, run.direction, Raw(b"5")))
        else:
            run = self.running.pop(self._draw(st.integers(0, len(self.running) - 1)))
            outcome = (
                Success(Raw(b"1"))
                if kind == "success"
                else failure_of(ERRORS[kind], policies=self.definition.step(run.step).policies_of(run.direction))
            )
            self.record(outcome_event(self.definition, self.state, run, outcome, self.now))

    def _someone_cancels(self) -> None:
        if self.state.end is None and not self.state.past_pivot and not self.state.compensating:
            self.record(CancelRequested(self.now, "someone", "because"))

    def _sub_saga_ends(self, *, troubled: bool) -> None:
        """A sub-saga has an outcome, which stays the same however often its step begins to wait for it again."""
        self.now += timedelta(seconds=1)
        saga_id, attempt = self._draw(st.sampled_from(sorted(awaited_sagas(self.state).items())))
        if saga_id not in self.ended:
            if troubled and self._draw(st.integers(0, 3)) == 0:
                self._someone_cancels()
                return
            outcomes = [Success(Raw(b"1")), UNDONE, ABANDONED] if troubled else [Success(Raw(b"1"))]
            self.ended[saga_id] = self._draw(st.sampled_from(outcomes))
        self.record(outcome_event(self.definition, self.state, attempt, self.ended[saga_id], self.now))

    def _someone_signals(self) -> None:
        awaited = [t.forward.wait for t in self.state.steps.values() if t.forward.progress is Progress.WAITING]
        names = [wait.target for wait in awaited if wait is not None and wait.target is not None]
        if not names:
            self.now += timedelta(seconds=1)
            return
        refused = self._draw(st.booleans())
        self.record(SignalReceived(self.now, self._draw(st.sampled_from(names)), Raw(b"3"), "boss", "why", refused))

    def _person_decides(self, move: int) -> None:
        waiting = self.state.interventions[0]
        actions = list(Action) if move < MOVES_MAX // 4 else [Action.ABANDON]
        action = self._draw(st.sampled_from(actions))
        pivot = waiting.step == self.definition.pivot and action in (Action.SKIP, Action.RESOLVE)
        raw = Raw(b"2") if action is Action.RESOLVE else None
        self.record(InterventionResolved(self.now, waiting.step, waiting.direction, action, "op", "why", raw, pivot))


def _unmet(*_: Any) -> bool:
    return False


def _met(*_: Any) -> bool:
    return True


def _no_answer(*_: Any) -> bool:
    raise LookupError("no such key")


def _no_list(*_: Any) -> list[int]:
    raise LookupError("no such key")


CONDITIONS = (_unmet, _met, _no_answer)


@settings(max_examples=400, deadline=None)
@given(st.data())
def test_the_rules_of_a_saga_hold(data: st.DataObject) -> None:
    """Every saga ends or waits for a person; order, budgets and compensations are as defined at every prefix."""
    definition = data.draw(definitions())
    play = Play(definition, data.draw)

    final = play.run()

    _state_is_the_fold_of_every_prefix(play)
    _steps_follow_their_dependencies(play)
    _nothing_runs_again_after_its_success(play)
    _compensations_run_in_reverse(play)
    _keys_never_change(play)
    _conditions_are_followed(play)
    _items_keep_to_their_bounds(play)
    _failures_are_followed_as_declared(play)
    _progress_is_kept(play)
    _the_end_is_true(play, final)
    assert replay(definition, play.events, "any-1") is None


def _state_is_the_fold_of_every_prefix(play: Play) -> None:
    state = SagaState("any-1")
    for count, event in enumerate(play.events, 1):
        state = evolve(state, event)
        assert state == rebuild("any-1", play.events[:count])
        assert state.version == count


def _prefixes(play: Play) -> list[tuple[SagaState, Event]]:
    """Each event, with the state before it."""
    state, pairs = SagaState("any-1"), []
    for event in play.events:
        pairs.append((state, event))
        state = evolve(state, event)
    return pairs


def _steps_follow_their_dependencies(play: Play) -> None:
    for state, event in _prefixes(play):
        if isinstance(event, StepStarted):
            step, is_item = _step_of(event.step)
            assert all(state.step(name).forward.finished for name in play.definition.after[step])
            assert not is_item or state.step(step).forward.progress is Progress.WAITING
            in_doubt = event.step == play.definition.pivot and state.step(event.step).forward.possibly_executed
            assert in_doubt or not state.compensating


def _nothing_runs_again_after_its_success(play: Play) -> None:
    for state, event in _prefixes(play):
        if isinstance(event, StepStarted):
            assert not state.step(event.step).forward.finished
        if isinstance(event, CompensationStarted):
            assert not state.step(event.step).compensation.finished
        if isinstance(event, StepSucceeded | StepFailed | StepCompensated):
            direction = Direction.COMPENSATION if isinstance(event, StepCompensated) else Direction.FORWARD
            assert state.progress_of(event.step, direction).progress in (Progress.RUNNING, Progress.WAITING)


def _step_of(name: str) -> tuple[str, bool]:
    """The step of a name, and whether it is the name of one of its items."""
    step, bracket, _ = name.partition("[")
    return step, bool(bracket)


def _names(state: SagaState, step: str) -> list[str]:
    """The names of a step and of its items."""
    return [step, *(f"{step}[{index}]" for index in range(state.items[step].total if step in state.items else 0))]


def _owes(play: Play, state: SagaState, step: str) -> bool:
    names = _names(state, step)
    return any(_owes_itself(play, state, name) for name in (names[1:] if step in state.items else names))


def _owes_itself(play: Play, state: SagaState, name: str) -> bool:
    step = state.step(name)
    happened = step.forward.progress is Progress.DONE or step.forward.possibly_executed
    return play.definition.step(name).undo is not None and happened and not step.compensation.finished


def _compensations_run_in_reverse(play: Play) -> None:
    for state, event in _prefixes(play):
        if isinstance(event, CompensationStarted):
            assert state.compensating
            assert not state.past_pivot
            assert play.definition.pivot is None or not state.step(play.definition.pivot).forward.possibly_executed
            step, is_item = _step_of(event.step)
            assert not any(_owes(play, state, later) for later in play.definition.dependents[step])
            if is_item:
                later_items = _names(state, step)[int(event.step[len(step) + 1 : -1]) + 2 :]
                behind = [name for name in later_items if _owes_itself(play, state, name)]
                assert all(state.step(name).compensation.attempt for name in behind)


def _conditions_are_followed(play: Play) -> None:
    """A step whose condition is false is skipped and never made, and a condition that fails is a step that fails."""
    started_steps = {event.step for event in play.events if isinstance(event, StepStarted)}
    for state, event in _prefixes(play):
        if isinstance(event, ConditionNotMet):
            assert play.definition.step(event.step).condition is _unmet
            assert not state.compensating
            assert event.step not in started_steps
        elif isinstance(event, StepSucceeded):
            assert play.definition.step(event.step).condition in (None, _met)


def _items_keep_to_their_bounds(play: Play) -> None:
    """Items start in their order, no more at once than may, each is made or undone until it has ended."""
    for state, event in _prefixes(play):
        if not isinstance(event, StepStarted | CompensationStarted) or not _step_of(event.step)[1]:
            continue
        step, _ = _step_of(event.step)
        kind, items = play.definition.step(step).kind, state.items[step]
        assert isinstance(kind, ForEach)
        direction = Direction.FORWARD if isinstance(event, StepStarted) else Direction.COMPENSATION
        others = [name for name in _names(state, step)[1:] if name != event.step]
        open_others = [
            name
            for name in others
            if (progress := state.progress_of(name, direction)).attempt
            and not progress.finished
            and not (kind.collect and direction is Direction.FORWARD and progress.progress is Progress.FAILED)
        ]
        assert len(open_others) < kind.parallel
        if direction is Direction.FORWARD and event.attempt == 1:
            assert event.step == f"{step}[{items.started}]"


def _keys_never_change(play: Play) -> None:
    keys: dict[tuple[str, type[Event]], str] = {}
    for event in play.events:
        if isinstance(event, StepStarted | CompensationStarted):
            assert keys.setdefault((event.step, type(event)), event.key) == event.key
    assert len(set(keys.values())) == len(keys)


def _failures_are_followed_as_declared(play: Play) -> None:
    """No attempt follows a final error, or more failures than the policy for it allows; a time that is said holds."""
    for state, event in _prefixes(play):
        if isinstance(event, StepFailed | CompensationFailed) and event.error.type in ERRORS:
            direction = Direction.FORWARD if isinstance(event, StepFailed) else Direction.COMPENSATION
            error = ERRORS[event.error.type]
            policy = play.definition.step(event.step).policies_of(direction).of(error)
            failures = state.progress_of(event.step, direction).failures + 1
            may_follow = event.retryable and failures < policy.attempts
            assert event.retryable is (event.error.type not in ("StepRejected", "Fail", "ExceptionGroup"))
            assert event.retry_at is None or may_follow
            assert event.retry_at is None or not isinstance(error, RetryAfter) or event.retry_at - event.at == SEVEN
            assert (event.effect is Effect.NONE) is isinstance(error, StepRejected)


def _progress_is_kept(play: Play) -> None:
    """Until another one replaces it: the next attempt finds it."""
    for state, event in _prefixes(play):
        if isinstance(event, StepProgressed):
            assert state.progress_of(event.step, event.direction).progress is Progress.RUNNING
            assert evolve(state, event).progress_of(event.step, event.direction).reported == event.progress
        elif isinstance(event, StepStarted | StepFailed | StepOutcomeUnknown):
            after = evolve(state, event).step(event.step)
            assert after.forward.reported == state.step(event.step).forward.reported


def _the_end_is_true(play: Play, final: SagaState) -> None:
    steps = [step.name for step in play.definition.steps]
    last = play.events[-1]
    match final.status:
        case Status.COMPLETED:
            assert isinstance(last, SagaCompleted)
            assert all(final.step(name).forward.finished for name in steps)
            for step, items in final.items.items():
                ends = {final.step(name).forward.progress for name in _names(final, step)[1:]}
                failed = {Progress.FAILED} if items.collect else set()
                assert final.step(step).forward.progress is Progress.SKIPPED or ends <= {
                    Progress.DONE, Progress.SKIPPED, *failed
                }  # fmt: skip
        case Status.COMPENSATED:
            assert isinstance(last, SagaCompensated)
            assert not final.past_pivot
            assert not any(_owes(play, final, name) for name in steps)
        case Status.ABANDONED:
            assert isinstance(last, InterventionResolved)
        case other:
            raise AssertionError(f"no end: {other}")


@settings(max_examples=200, deadline=None)
@given(st.data())
def test_unread_values_change_no_decision(data: st.DataObject) -> None:
    """Inputs, results and error texts may be erased: state and decisions stay the same but for the erased values."""
    definition = data.draw(definitions())
    play = Play(definition, data.draw)
    play.run()

    erased = [_erase(event) for event in play.events]

    for count in range(1, len(erased) + 1):
        kept, blank = rebuild("any-1", play.events[:count]), rebuild("any-1", erased[:count])
        assert kept.status == blank.status
        kept_ahead, blank_ahead = advance(definition, kept, play.now), advance(definition, blank, play.now)
        assert kept_ahead.decision.attempts == blank_ahead.decision.attempts
        assert kept_ahead.decision.wake_at == blank_ahead.decision.wake_at
        assert [type(event) for event in kept_ahead.events] == [type(event) for event in blank_ahead.events]


def _erase(event: Event) -> Event:
    changes: dict[str, Any] = {}
    if isinstance(event, StepSucceeded | StepCompensated):
        changes["result"] = Raw(b'"erased"')
    if isinstance(event, StepProgressed):
        changes["progress"] = Raw(b'"erased"')
    if isinstance(event, StepFailed):
        changes["error"] = replace(event.error, message="erased")
    if isinstance(event, ItemsListed):
        changes["items"] = tuple(Raw(b'"erased"') for _ in event.items)
    if isinstance(event, SignalReceived):
        changes["payload"] = Raw(b'"erased"')
    if isinstance(event, SagaStarted):
        changes["input"] = Raw(b'"erased"')
    return replace(event, **changes)


def test_only_proof_spares_a_failed_step_its_compensation() -> None:
    """A refusal proves that nothing happened; an exhausted error does not."""
    for error, effect, compensated in ((StepRejected("no"), Effect.NONE, []), (OSError("?"), Effect.UNKNOWN, ["a"])):
        saga = Saga("any", input=dict[str, Any])
        saga.step(name="a", retry=Retry(attempts=1))(lambda *_: None).compensation(lambda *_: None)
        definition = saga.definition
        state = rebuild("any-1", [SagaStarted(NOON, "any", 1, "f", Raw(b"{}"))])
        [run] = advance(definition, state, NOON).decision.attempts
        state = evolve(state, started(definition, state, run, NOON))

        event = outcome_event(definition, state, run, failure_of(error), NOON)

        assert isinstance(event, StepFailed)
        assert event.effect is effect
        ahead = advance(definition, evolve(state, event), NOON)
        assert [run.step for run in ahead.decision.attempts] == compensated


def test_an_attempt_whose_worker_died_is_made_again_under_the_same_key() -> None:
    """Its outcome is unknown; the key lets the service recognise it."""
    saga = Saga("any", input=dict[str, Any])
    saga.step(name="a")(lambda *_: None).compensation(lambda *_: None)
    definition = saga.definition
    state = rebuild("any-1", [SagaStarted(NOON, "any", 1, "f", Raw(b"{}"))])
    [first] = advance(definition, state, NOON).decision.attempts
    state = evolve(state, started(definition, state, first, NOON))

    [unknown] = orphaned(definition, state, "w", NOON)

    assert isinstance(unknown, StepOutcomeUnknown)
    [second] = advance(definition, evolve(state, unknown), NOON).decision.attempts
    assert second == Attempt("a", Direction.FORWARD, 2, first.key)
