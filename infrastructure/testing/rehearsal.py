"""Rehearses a saga without a database: the real definition, the real decisions, and a clock that jumps.

It is for tests of your own sagas: given what participants have recorded and which attempts fail, when the saga runs,
then check its events. Waits for retries take no time.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from typing import NamedTuple, TypeVar, Unpack

from ...domain.event import Event
from ...domain.saga.decision import Attempt
from ...domain.saga.saga import Saga
from ...domain.saga.state import SagaState
from ...domain.saga.step_kind import Signal, Timer
from ..event_store.instants import checked_timeout
from ..ledger.app import App
from ..ledger.saga_start import SagaStart
from .in_memory_run import NOON, InMemoryRun
from .plan import Arrangement, Failures, Plan, PlannedSignal, given_streams
from .rehearsed_saga import RehearsedSaga

I = TypeVar("I")  # noqa: E741 -- the saga's input, as the documentation calls it


class Rehearsal(NamedTuple):
    """The outcome of a rehearsed saga."""

    state: SagaState
    saga_events: list[Event]
    """The saga's own events, in order."""
    participant_events: list[tuple[str, Event]]
    """The events that participants recorded, in order, each with its stream id."""
    attempts: list[Attempt]
    """Every attempt at a step that calls a service, in order."""
    sub_sagas: Mapping[str, Rehearsal] = {}
    """The sub-sagas that were rehearsed, too, by the steps that they are: `refund`, or `refund/payout` of that one."""

    @property
    def facts(self) -> list[Event]:
        """The saga's own events, by the name that they had in version 0.1."""
        return self.saga_events

    @property
    def events(self) -> list[tuple[str, Event]]:
        """The events that participants recorded, by the name that they had in version 0.1."""
        return self.participant_events


def rehearse(
    saga: Saga[I],
    value: I,
    **arrangement: Unpack[Arrangement],
) -> Rehearsal:
    """Run a saga in memory until it ends, or waits for something that is not planned.

    - `given`: the events that streams of participants hold at the start, each list by the id of its stream;
    - `fail`: attempts that raise instead of running: `{"charge": StepRejected("declined")}`;
    - `results`: results that replace running a step, a compensation or a sub-saga: `{"charge": Receipt("r-1")}`;
    - `signals`: the signals that it receives; `interventions`: what people decide when a step needs them;
    - `cancel_at`: when it is cancelled; `until`: when to stop looking, both in seconds after its start;
    - `call`: whether steps whose outcome is not planned are really called (they are, unless told otherwise), or the
      names of those that are. Of the others an action without a plan is an error, and a compensation succeeds;
    - `participants`: those that take part, as for an `App`.

    Sub-sagas without a planned outcome are rehearsed like the saga itself. Raises what `Ledger.start` raises for an
    input that does not fit, `DefinitionError` for a plan that is for no step of the saga or cannot happen to it, and
    `AssertionError` for one that was never reached.
    """
    rehearsal, plan = _rehearsed(saga, value, arrangement)
    unreached = plan.unreached() + _untaken(rehearsal)
    if unreached:
        raise AssertionError(
            f"the rehearsed saga {saga.name!r} is {rehearsal.state.status}, and never reached: {', '.join(unreached)}"
        )
    return rehearsal


def rehearse_each_failure(
    saga: Saga[I], value: I, error: BaseException, **arrangement: Unpack[Arrangement]
) -> Iterator[tuple[str, Rehearsal]]:
    """Rehearse a saga once for each of its steps, with every attempt at that step failing.

    A step that waits for a signal has that refused. Timers cannot fail, and are left out, and so is a step that the
    saga ends without, because of a condition. Raises `AssertionError` if the saga stops waiting before the step, or if
    something else that is planned was reached by no rehearsal.
    """
    signals = list(arrangement.get("signals", ()))
    arrangement["participants"] = list(arrangement.get("participants", ()))
    arrangement["given"] = given_streams(arrangement)
    arrangement["interventions"] = list(arrangement.get("interventions", ()))
    planned = arrangement.get("fail") or {}
    never: set[str] | None = None
    for step in saga.definition.steps:
        if isinstance(step.kind, Timer):
            continue
        if isinstance(step.kind, Signal):
            refusal = PlannedSignal(step.kind.name, refused=True, step=step.name, reason=str(error))
            others = [each for each in signals if each.name != step.kind.name or each.step not in (None, step.name)]
            rehearsal, plan = _rehearsed(saga, value, {**arrangement, "signals": [*others, refusal]})
            met = refusal not in plan.signals
        else:
            failures: Failures = {**planned, step.name: error}
            rehearsal, plan = _rehearsed(saga, value, {**arrangement, "fail": failures, "signals": signals})
            met = plan.met_failure(step.name)
        unreached = set(plan.unreached(results=False))  # a step has no result when it fails, nor those after it
        never = unreached if never is None else never & unreached
        if met:
            yield step.name, rehearsal
        elif rehearsal.state.end is None:
            raise AssertionError(
                f"the rehearsed saga {saga.name!r} is {rehearsal.state.status} before step {step.name!r}: plan what it "
                "waits for"
            )
    if never:
        raise AssertionError(f"the rehearsed saga {saga.name!r} never reached: {', '.join(sorted(never))}")


def _rehearsed(saga: Saga[I], value: I, arrangement: Arrangement) -> tuple[Rehearsal, Plan]:
    """Rehearse a saga; returns the outcome, and the plan with what of it was not reached."""
    plan = Plan(saga.definition, arrangement)
    until = arrangement.get("until")
    ends_at = None if until is None else NOON + timedelta(seconds=checked_timeout(until, "until"))
    app = App(sagas=[saga], participants=arrangement.get("participants", ()))
    run = InMemoryRun(app, given_streams(arrangement), plan)
    saga_start = SagaStart.of(saga.definition, value, "rehearsal", actor="rehearsal")
    with ThreadPoolExecutor(1) as thread:  # the caller may be running an event loop of its own
        thread.submit(lambda: asyncio.run(run.rehearse(saga_start, ends_at))).result()
    rehearsed, *nested = run.sagas.values()
    sub_sagas = {each.path: _outcome(each, run, {}) for each in nested}
    return _outcome(rehearsed, run, sub_sagas), plan


def _outcome(saga: RehearsedSaga, run: InMemoryRun, sub_sagas: Mapping[str, Rehearsal]) -> Rehearsal:
    return Rehearsal(saga.state, saga.events, run.participant_events, saga.attempts, sub_sagas)


def _untaken(rehearsal: Rehearsal) -> list[str]:
    """Say which signals no step has taken."""
    return [
        f"a step that takes the signal {name!r}"
        for each in (rehearsal, *rehearsal.sub_sagas.values())
        for name, queue in each.state.signals.items()
        for _ in queue
    ]
