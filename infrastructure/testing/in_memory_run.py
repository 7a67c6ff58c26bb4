"""A saga and its sub-sagas run in memory: the real definitions, the real decisions, and a clock that jumps."""

from __future__ import annotations

import inspect
from collections.abc import Iterable, Iterator, Sequence
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from functools import partial

from msgspec import structs

from ...domain.event import Event
from ...domain.recorded_event import Meta
from ...domain.saga.decide import awaited_sagas
from ...domain.saga.decision import Attempt
from ...domain.saga.event_parts import WaitKind
from ...domain.saga.events import FORWARD, Action
from ...domain.saga.evolve import evolve
from ...domain.saga.outcome import AttemptOutcome, Success, failure_of
from ...domain.saga.state import SagaState
from ...domain.saga.step_state import WAITING
from ..errors import WrongState
from ..event_store.codec import Codec
from ..event_store.event_row import NewEvent
from ..ledger.app import App
from ..ledger.operation_rules import Rule, call_off_rule, cancel_rule, intervention_rule
from ..ledger.saga_start import SagaStart
from ..ledger.signal_rules import NewSignal
from ..ledger.stream_cache import StreamCache
from ..worker.group_commit.transition import Transition, context_of
from ..worker.held_sagas import HeldSaga
from ..worker.sub_sagas import outcome_of, start_of
from .heartbeats import LatestHeartbeat
from .memory_streams import MemoryStreams
from .plan import REHEARSER, Plan, PlannedIntervention, PlannedSignal
from .rehearsed_saga import RehearsedSaga, RehearsedTransition

TRANSITIONS_MAX = 10_000
NOON = datetime(2020, 1, 1, 12, tzinfo=UTC)


class InMemoryRun:
    """One saga with its sub-sagas, its participants' streams, and a clock of its own."""

    def __init__(self, app: App, given: Iterable[tuple[str, Sequence[Event]]], plan: Plan) -> None:
        self._app = app
        self._codec = Codec(app.registry)
        self._streams = MemoryStreams()
        self._stream_cache = StreamCache(app, self._streams, self._codec)
        self._plan = plan
        self._now = self._began = NOON
        self.sagas: dict[str, RehearsedSaga] = {}
        """The sagas by id, the rehearsed one first."""
        self.participant_events: list[tuple[str, Event]] = []
        for stream_id, events in given:
            for version, event in enumerate(events, 1):
                self._streams.add(self._codec.encode(stream_id, version, event), NOON)

    async def rehearse(self, saga_start: SagaStart, until: datetime | None) -> None:
        """Perform transitions until the saga ends, or waits for what is not planned, or the time is up."""
        self._begin(saga_start, "")
        for _ in range(TRANSITIONS_MAX):
            saga = next((each for each in self.sagas.values() if each.ready), None)
            if saga is not None:
                await self._perform(saga)
            elif not self._send_what_is_awaited() and not self._jump(until):
                return
        raise AssertionError(f"the saga did not end within {TRANSITIONS_MAX} transitions")

    # One transition

    def _begin(self, saga_start: SagaStart, path: str) -> None:
        held = HeldSaga(saga_start.saga_id, saga_start.definition, SagaState(saga_start.saga_id), None)
        held.saga_start = saga_start
        self.sagas[saga_start.saga_id] = RehearsedSaga(held, path)

    async def _perform(self, saga: RehearsedSaga) -> None:
        transition = self._transition(saga)
        held = saga.held
        for attempt in transition.dispatch:
            saga.attempts.append(attempt)
            held.outcomes.append((attempt, await self._make(saga, attempt)))
        for saga_id in transition.call_off:
            sub_saga = self.sagas.get(saga_id)
            if sub_saga is not None:
                actor, rule = call_off_rule(held.saga_id)
                with suppress(WrongState):  # it has ended, or is past its pivot, and runs to its end
                    self._apply(sub_saga, rule, actor)
        for saga_id, attempt in transition.awaits.items():
            self._look_at_sub_saga(saga, saga_id, attempt)
        saga.wake_at = transition.wake_at
        saga.ready = bool(held.outcomes) or transition.more
        self._wake_parent_of_ended(held.state)

    def _transition(self, saga: RehearsedSaga) -> Transition:
        self._now += timedelta(milliseconds=1)
        held = saga.held
        for saga_id, attempt in self._ended_sub_sagas(held.state):
            outcome = outcome_of(self.sagas[saga_id].state)
            if outcome is not None:
                held.outcomes.append((attempt, outcome))

        def build() -> Transition:
            draft = self._stream_cache.draft(held.saga_id, Meta())
            return RehearsedTransition(
                held,
                held.definition,
                held.state,
                draft,
                REHEARSER,
                self._now,
                draining=False,
                plan=self._plan,
                rehearsed=saga,
            ).build()

        [transition] = self._stream_cache.build([build])
        self._stream_cache.stage(transition.draft.overlay)
        for new in transition.draft.events:
            self._record(saga, new)
        transition.settle(None)
        return transition

    def _record(self, saga: RehearsedSaga, new: NewEvent) -> None:
        self._streams.add(new, self._now)
        event = self._codec.decode(self._streams.rows[new.stream_id][-1]).event
        if new.stream_id == saga.held.saga_id:
            saga.events.append(event)
        else:
            self.participant_events.append((new.stream_id, event))

    async def _make(self, saga: RehearsedSaga, attempt: Attempt) -> AttemptOutcome:
        """Make an attempt at a step that calls a service, unless its error or its result is planned."""
        path = saga.path_of(attempt.step)
        definition = saga.held.definition
        step = definition.step(attempt.step)
        policies = step.policies_of(attempt.direction)
        try:
            self._plan.raise_planned(path, attempt.direction, attempt.attempt)
        except BaseException as error:  # noqa: BLE001 -- as in a worker, whatever a step raises is its outcome
            return failure_of(error, policies=policies)
        planned = self._plan.result(path, attempt.direction)
        if planned is not None:
            return Success(planned)
        if not self._plan.may_call(path, attempt.direction):
            return Success(step.write_result(attempt.direction, None))
        heartbeats = LatestHeartbeat()
        try:
            context = structs.replace(context_of(definition, saga.state, attempt), listener=heartbeats)
            result = step.invoke(context, definition.read_argument(saga.state, attempt.step))
            if inspect.isawaitable(result):
                result = await result
            return Success(step.write_result(attempt.direction, result))
        except BaseException as error:  # noqa: BLE001 -- as above
            return failure_of(error, policies=policies)
        finally:
            if heartbeats.latest is not None:
                saga.held.reports = {**(saga.held.reports or {}), attempt: heartbeats.latest}

    # Sub-sagas

    def _look_at_sub_saga(self, saga: RehearsedSaga, saga_id: str, attempt: Attempt) -> None:
        """Give the attempt that waits for a sub-saga the outcome that is planned, or rehearse that saga, too."""
        if saga_id in self.sagas:
            return
        held, path = saga.held, saga.path_of(attempt.step)
        try:
            self._plan.raise_planned(path, FORWARD, attempt.attempt)
        except BaseException as error:  # noqa: BLE001 -- it is the outcome
            failed = failure_of(error, local=True)
            outcome: AttemptOutcome = structs.replace(failed, retryable=False)
        else:
            planned = self._plan.result(path, FORWARD)
            if planned is None:
                self._begin_sub_saga(saga, saga_id, attempt)
                return
            outcome = Success(planned)
        held.outcomes.append((attempt, outcome))

    def _begin_sub_saga(self, saga: RehearsedSaga, saga_id: str, attempt: Attempt) -> None:
        try:
            saga_start = start_of(saga.held, saga_id, attempt)
        except BaseException as error:  # noqa: BLE001 -- as in a worker, it fails the step
            saga.held.outcomes.append((attempt, failure_of(error, local=True)))
        else:
            self._begin(saga_start, saga.path_of(attempt.step))

    def _ended_sub_sagas(self, state: SagaState) -> Iterator[tuple[str, Attempt]]:
        for saga_id, attempt in awaited_sagas(state).items():
            if saga_id in self.sagas and self.sagas[saga_id].state.end is not None:
                yield saga_id, attempt

    # What comes from outside

    def _send_what_is_awaited(self) -> bool:
        """Send the first planned signal for which a step waits, or make the first intervention that is needed."""
        for signal in self._plan.signals:
            saga = self._saga_at(signal.saga)
            if signal.at is None and saga is not None and _awaits(saga.state, signal):
                self._plan.signals.remove(signal)
                self._send(saga, signal)
                return True
        for saga in self.sagas.values():
            if saga.state.interventions and saga.state.end is None:
                for planned in self._plan.interventions:
                    if any(planned.step in (None, each.step) for each in saga.state.interventions):
                        self._plan.interventions.remove(planned)
                        self._intervene(saga, planned)
                        return True
        return False

    def _jump(self, until: datetime | None) -> bool:
        """Let the clock jump to what comes next. Returns whether there is anything."""
        timed = [self._at(signal.at) for signal in self._plan.signals if signal.at is not None]
        if self._plan.cancel_at is not None:
            timed.append(self._at(self._plan.cancel_at))
        wakes = [saga.wake_at for saga in self.sagas.values() if saga.wake_at is not None]
        rehearsed = next(iter(self.sagas.values()))
        comes = min(timed + wakes, default=None)
        if comes is None or (until is not None and comes > until) or rehearsed.state.end is not None:
            return False
        self._now = max(self._now, comes)
        for signal in [each for each in self._plan.signals if each.at is not None]:
            if self._at(signal.at) <= self._now:
                saga = self._saga_at(signal.saga)
                if saga is None:
                    raise AssertionError(f"at {signal.at:g} seconds the sub-saga {signal.saga!r} has not begun")
                self._plan.signals.remove(signal)
                self._send(saga, signal)
        if self._plan.cancel_at is not None and self._at(self._plan.cancel_at) <= self._now:
            self._plan.cancel_at = None
            self._apply(rehearsed, cancel_rule(REHEARSER, "as planned"), REHEARSER)
        for saga in self.sagas.values():
            if saga.wake_at is not None and saga.wake_at <= self._now:
                saga.ready = True
        return True

    def _send(self, saga: RehearsedSaga, signal: PlannedSignal) -> None:
        new = NewSignal.of(
            signal.payload,
            name=signal.name if signal.step is None else None,
            step=signal.step,
            actor=signal.actor,
            reason=signal.reason,
            refused=signal.refused,
            key=None,
        )
        self._apply(saga, partial(new.rule, self._app), signal.actor)

    def _intervene(self, saga: RehearsedSaga, planned: PlannedIntervention) -> None:
        action = Action(planned.action)
        rule = intervention_rule(self._app, action, planned.step, planned.result, planned.actor, planned.reason)
        self._apply(saga, rule, planned.actor)

    def _apply(self, saga: RehearsedSaga, rule: Rule, actor: str) -> None:
        """Record what a rule makes of the saga's state. Raises `WrongState`, as the ledger's methods do."""
        held = saga.held
        event = rule(held.state, self._now)
        self._record(saga, self._codec.encode(held.saga_id, held.state.version + 1, event, meta=Meta(actor=actor)))
        held.state = evolve(held.state, saga.events[-1])
        saga.ready = held.state.end is None
        self._wake_parent_of_ended(held.state)

    def _wake_parent_of_ended(self, state: SagaState) -> None:
        if state.end is not None and state.parent is not None:
            self.sagas[state.parent.saga_id].ready = True

    def _saga_at(self, path: str | None) -> RehearsedSaga | None:
        return next((saga for saga in self.sagas.values() if saga.path == (path or "")), None)

    def _at(self, seconds: float | None) -> datetime:
        return self._began + timedelta(seconds=seconds or 0.0)


def _awaits(state: SagaState, signal: PlannedSignal) -> bool:
    """Whether a step waits for a planned signal."""
    waits = [
        (name, step.forward.wait)
        for name, step in state.steps.items()
        if step.forward.progress is WAITING and signal.step in (None, name)
    ]
    return any(wait and wait.kind is WaitKind.SIGNAL and wait.target == signal.name for _, wait in waits)
