"""What happens next in a saga: pure, from its definition, its state and the time.

The worker performs decisions; it decides nothing itself. On failure the steps that succeeded, *and those that may
have been executed*, are compensated in reverse dependency order.
"""

from __future__ import annotations

import hashlib
from datetime import datetime

from msgspec import Raw, Struct

from ..event import Event
from .definition import Definition
from .events import (
    COMPENSATION,
    FORWARD,
    CompensationStarted,
    DeadlineExceeded,
    Direction,
    Effect,
    Failure,
    InterventionRequired,
    SagaCompensated,
    SagaCompleted,
    StepFailed,
    StepStarted,
    StepSucceeded,
    TimerFired,
    WaitKind,
)
from .evolve import evolve
from .state import DONE, FAILED, RUNNING, SKIPPED, UNTOUCHED, WAITING, SagaState, StepProgress
from .step import Step

NULL = Raw(b"null")


class Attempt(Struct, frozen=True, gc=False):
    """An attempt to make: of a step's action, or of its compensation."""

    step: str
    direction: Direction
    attempt: int
    key: str


class Decision(Struct, frozen=True, gc=False):
    """What to record, what to run, and when to decide again if nothing happens before."""

    record: tuple[Event, ...] = ()
    run: tuple[Attempt, ...] = ()
    wake_at: datetime | None = None
    call_off: tuple[str, ...] = ()
    """Sagas started by this one that have to turn back before it can."""


class NextSteps(Struct, frozen=True, gc=False):
    """A decision carried as far as it goes without running anything: its facts are folded into `state`."""

    facts: tuple[Event, ...]
    run: tuple[Attempt, ...]
    wake_at: datetime | None
    call_off: tuple[str, ...]
    state: SagaState


IDLE = Decision()


def idempotency_key(saga_id: str, step: str, direction: Direction) -> str:
    """The same for every attempt, worker, restart and upgrade: a hash of the saga, the step and the direction."""
    return hashlib.sha256(f"{saga_id}\x00{step}\x00{direction}".encode()).hexdigest()[:32]


def decide(definition: Definition, state: SagaState, now: datetime) -> Decision:
    """What comes next.

    A saga that is over, or waits for a person, gets nothing; attempts in flight go on, and their outcomes are
    recorded. A deadline turns a saga back unless it is past its pivot.
    """
    if state.end is not None or state.interventions:
        return IDLE
    compensating = state.compensating
    if state.deadline is not None and now >= state.deadline and not (state.past_pivot or compensating):
        return Decision(record=(DeadlineExceeded(now, state.deadline),))
    if not compensating:
        if state.begins_at is not None and now < state.begins_at:
            return Decision(wake_at=state.begins_at)
        return _go_on(definition, state, now)
    pivot = _pivot_in_doubt(definition, state)
    return _go_back(definition, state, now) if pivot is None else _settle_pivot(state, pivot, now)


def advance(definition: Definition, state: SagaState, now: datetime) -> NextSteps:
    """Decide again and again until only attempts, or waiting, are left."""
    facts: list[Event] = []
    decision = decide(definition, state, now)
    while decision.record:
        for fact in decision.record:
            state = evolve(state, fact)
        facts += decision.record
        if len(facts) > 4 * len(definition.steps) + 8:
            raise AssertionError(f"saga {state.saga_id!r} keeps deciding without end: {facts[-3:]}")
        decision = decide(definition, state, now)
    return NextSteps(tuple(facts), decision.run, decision.wake_at, decision.call_off, state)


def started(definition: Definition, state: SagaState, run: Attempt, now: datetime) -> StepStarted | CompensationStarted:
    """The fact that an attempt is about to be made, or that the step begins to wait."""
    if run.direction is COMPENSATION:
        return CompensationStarted(now, run.step, run.attempt, run.key)
    wait = definition.step(run.step).wait(state.saga_id, now)
    return StepStarted(now, run.step, run.attempt, run.key, wait)


def abort_cause(state: SagaState) -> str:
    """Why a saga goes back, in words that repeat nothing a user put in."""
    for name, step in state.steps.items():
        if step.forward.progress is FAILED:
            return f"step {name} failed ({_kind(step.forward)})"
    return "deadline exceeded" if state.deadline_exceeded else "cancelled"


def _pivot_in_doubt(definition: Definition, state: SagaState) -> Step | None:
    """The pivot, if it may have been executed: then going back is not safe."""
    if definition.pivot is None:
        return None
    track = state.step(definition.pivot).forward
    return definition.step(definition.pivot) if track.possibly_executed and not track.finished else None


def _settle_pivot(state: SagaState, pivot: Step, now: datetime) -> Decision:
    """Find out whether the pivot happened, by trying it again under its key; in the end a person has to."""
    track = state.step(pivot.name).forward
    if track.progress is FAILED:
        return Decision(record=(_needs_person(state, pivot, FORWARD, now),))
    runs: list[Attempt] = []
    wakes: list[datetime] = []
    _attempt(state, pivot, FORWARD, track, now, runs, wakes)
    return Decision((), tuple(runs), min(wakes) if wakes else None)


def _go_on(definition: Definition, state: SagaState, now: datetime) -> Decision:
    runs: list[Attempt] = []
    wakes: list[datetime] = []
    if state.deadline is not None and not state.past_pivot:
        wakes.append(state.deadline)
    over: set[str] = set()
    steps = state.steps
    for step, name, after in definition.order:
        touched = steps.get(name)
        if touched is None:
            if over >= after:
                _attempt(state, step, FORWARD, UNTOUCHED.forward, now, runs, wakes)
            continue
        track = touched.forward
        progress = track.progress
        if progress is DONE or progress is SKIPPED:
            over.add(name)
        elif progress is FAILED:
            return Decision(record=(_needs_person(state, step, FORWARD, now),))
        elif progress is WAITING:
            facts = _wait_over(state, step, track, now)
            if facts:
                return Decision(record=facts)
            if track.wait is not None and track.wait.due_at is not None:
                wakes.append(track.wait.due_at)
        elif over >= after:
            _attempt(state, step, FORWARD, track, now, runs, wakes)
    if len(over) == len(definition.steps):
        last = state.step(definition.steps[-1].name).forward.result
        return Decision(record=(SagaCompleted(now, NULL if last is None else last),))
    return Decision((), tuple(runs), min(wakes) if wakes else None)


def _wait_over(state: SagaState, step: Step, track: StepProgress, now: datetime) -> tuple[Event, ...]:
    """The facts that a step's waiting is over: its timer came due, or its signal came, or did not."""
    wait = track.wait
    if wait is None or wait.kind is WaitKind.SAGA:
        return ()
    signal = state.signals.get(wait.target or "")
    if wait.kind is WaitKind.SIGNAL and signal is not None:
        if not signal.refused:
            return (StepSucceeded(now, step.name, track.attempt, signal.payload),)
        return (_wait_failed(step, track, Failure("Refused", f"{wait.target} was refused"), now),)
    if wait.due_at is None or now < wait.due_at:
        return ()
    fired = TimerFired(now, step.name, wait.due_at)
    if wait.kind is WaitKind.TIMER:
        return (fired, StepSucceeded(now, step.name, track.attempt, NULL))
    return (fired, _wait_failed(step, track, Failure("SignalTimeout", f"no {wait.target} until {wait.due_at}"), now))


def _wait_failed(step: Step, track: StepProgress, error: Failure, now: datetime) -> StepFailed:
    return StepFailed(now, step.name, track.attempt, error, Effect.NONE, retryable=False)


def _go_back(definition: Definition, state: SagaState, now: datetime) -> Decision:
    """Compensate, latest first; what is still in flight has to settle before."""
    if any(state.step(step.name).forward.progress is RUNNING for step in definition.steps):
        return IDLE
    sub_sagas = awaited_sagas(state)
    if sub_sagas:
        return Decision(call_off=tuple(sub_sagas))
    owed = [step for step in definition.steps if _owes_compensation(state, step)]
    if not owed:
        return Decision(record=(SagaCompensated(now, abort_cause(state)),))
    names = {step.name for step in owed}
    runs: list[Attempt] = []
    wakes: list[datetime] = []
    for step in reversed(owed):
        if definition.dependents[step.name] & names:
            continue
        track = state.step(step.name).compensation
        if track.progress is FAILED:
            return Decision(record=(_needs_person(state, step, COMPENSATION, now),))
        _attempt(state, step, COMPENSATION, track, now, runs, wakes)
    return Decision((), tuple(runs), min(wakes) if wakes else None)


def awaited_sagas(state: SagaState) -> dict[str, Attempt]:
    """The sagas that its steps wait for, by id, each with the attempt that waits."""
    awaited: dict[str, Attempt] = {}
    for name, step in state.steps.items():
        track = step.forward
        if track.progress is WAITING and track.wait is not None and track.wait.kind is WaitKind.SAGA:
            key = idempotency_key(state.saga_id, name, FORWARD)
            awaited[track.wait.target or ""] = Attempt(name, FORWARD, track.attempt, key)
    return awaited


def _owes_compensation(state: SagaState, step: Step) -> bool:
    if step.undo is None:
        return False
    tracks = state.step(step.name)
    happened = tracks.forward.progress is DONE or tracks.forward.possibly_executed
    return happened and not tracks.compensation.finished


def _attempt(
    state: SagaState,
    step: Step,
    direction: Direction,
    track: StepProgress,
    now: datetime,
    runs: list[Attempt],
    wakes: list[datetime],
) -> None:
    """Run it now, or at its time; an attempt in flight is left alone."""
    if track.progress is RUNNING:
        return
    if track.retry_at is not None and track.retry_at > now:
        wakes.append(track.retry_at)
        return
    runs.append(Attempt(step.name, direction, track.attempt + 1, idempotency_key(state.saga_id, step.name, direction)))


def _needs_person(state: SagaState, step: Step, direction: Direction, now: datetime) -> InterventionRequired:
    track = state.progress_of(step.name, direction)
    what = "step" if direction is FORWARD else "compensation of step"
    return InterventionRequired(
        now, step.name, direction, f"{what} {step.name} gave up after attempt {track.attempt} ({_kind(track)})"
    )


def _kind(track: StepProgress) -> str:
    return "outcome unknown" if track.error is None else track.error.type
