"""One transition of one saga: what happened since the last append, and all that follows from it, as one append.

A step's action runs only after its start is durable, so attempts that call out are dispatched once the append is
acknowledged. A local step is decided here, and its start, its events and its success go into the same append.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from datetime import datetime, timedelta
from typing import Any, cast

import msgspec
from msgspec import Raw, Struct

from ....domain.event import Event
from ....domain.participant import Command
from ....domain.recorded_event import RecordedEvent
from ....domain.saga.decide import Attempt, advance, awaited_sagas, started
from ....domain.saga.definition import Definition
from ....domain.saga.events import FORWARD, InterventionRequired, SagaCompensated, SagaCompleted
from ....domain.saga.evolve import evolve, fold_all
from ....domain.saga.outcome import AttemptOutcome, Success, failure_of, orphaned, outcome_event
from ....domain.saga.state import RUNNING, WAITING, SagaState
from ....domain.saga.step import LocalResult, Step, StepContext
from ...event_store.port import Append, Appended, QueueEntry
from ...ledger.append_builder import AppendBuilder, NotDecidableYet
from ...ledger.saga_start import SagaStart

HOLD_SECONDS = 5.0
"""A saga that waits longer than this is given back to the due work, and costs no memory."""


class Execution:
    """A saga in this worker's hands."""

    __slots__ = (
        "children",
        "definition",
        "lost",
        "outcomes",
        "position",
        "previous_worker",
        "saga_id",
        "saga_start",
        "size_bytes",
        "state",
    )

    def __init__(
        self,
        saga_id: str,
        definition: Definition,
        state: SagaState,
        position: int | None,
        previous_worker: str | None = None,
    ) -> None:
        self.saga_id = saga_id
        self.definition = definition
        self.state = state
        self.position = position
        """Where its latest fact stands: what its next ones are caused by."""
        self.saga_start: SagaStart | None = None
        """How to start it, until it is."""
        self.outcomes: list[tuple[Attempt, AttemptOutcome]] = []
        """What its attempts came to and is not recorded yet."""
        self.lost = bool(state.in_flight)
        """It was taken over with attempts in flight, and their worker is gone."""
        self.previous_worker = previous_worker
        self.size_bytes = len(state.input) + sum(len(step.forward.result or b"") for step in state.steps.values())
        """How much of what users put in it keeps in memory, as of when it was taken."""
        self.children: frozenset[str] = frozenset()
        """The sagas of its own that are known to be there."""

    def fold(self, news: Sequence[RecordedEvent]) -> None:
        """Take in facts that others recorded."""
        if news:
            self.state = fold_all(self.state, (recorded.event for recorded in news))
            self.position = news[-1].position


class Transition(Struct, eq=False):
    """The facts of one step forward of a saga, drafted; nothing happens before the append is acknowledged."""

    execution: Execution
    definition: Definition
    state: SagaState
    """What the saga comes to with these facts; at first, what it is."""
    draft: AppendBuilder
    worker_id: str
    now: datetime
    draining: bool
    dispatch: list[Attempt] = []
    """Attempts to make once the append is acknowledged."""
    more: bool = False
    """Whether another local step is ready to follow."""
    wake_at: datetime | None = None
    call_off: tuple[str, ...] = ()
    """Sagas of its own that have to turn back before it can."""
    leaves: bool = False
    """Whether the worker lets go of the saga after this: it ended, waits for a person, or for long. Decided once,
    since the append says so: what settles in the same batch may change what it would be now."""
    dealt_with: int = 0
    """How many outcomes of attempts it looked at: those are recorded, or came too late."""

    def build(self) -> Transition:
        """Draft everything. Raises `NotDecidableYet` when participants' streams have to be read before."""
        execution = self.execution
        if execution.saga_start is not None:
            self._record(execution.saga_start.fact(self.now))
            self.draft.handle(execution.saga_start.commands(), self.now, beginning=True)
        if execution.lost:
            for fact in orphaned(self.definition, self.state, execution.previous_worker, self.now):
                self._record(fact)
        for run, outcome in execution.outcomes:
            if self._is_open(run):
                self._record(outcome_event(self.definition, self.state, run, outcome, self.now))
        self.dealt_with = len(execution.outcomes)
        self._advance(may_perform=not self.draining)
        self.leaves = self._may_leave
        return self

    def append(self) -> Append:
        """The append, with what it changes in the due work: its own, and its parent's when it has ended."""
        parent = self.state.parent
        if parent is None or self.state.end is None:
            return Append(self.draft.events, self._due())
        wake = QueueEntry(parent.saga_id, parent.definition, parent.definition_version, self.now, None)
        return Append(self.draft.events, self._due(), [wake])

    @property
    def _may_leave(self) -> bool:
        if self.more or self.dispatch or self.state.in_flight:
            return False
        return self._is_settled or self._waits_long

    @property
    def awaits(self) -> Mapping[str, Attempt]:
        """The sagas of its own that it waits for."""
        return awaited_sagas(self.state) if self.definition.nests else {}

    @property
    def writes(self) -> bool:
        """Whether there is anything to append."""
        return bool(self.draft.events) or self._due() is not None

    def settle(self, appended: Appended | None) -> None:
        """What was drafted is durable: it is so."""
        execution = self.execution
        if appended is not None and self.draft.last_own is not None:
            execution.position = appended.first_position + self.draft.last_own
        execution.saga_start = None
        execution.lost = False
        execution.state = self.state
        del execution.outcomes[: self.dealt_with]

    @property
    def _is_settled(self) -> bool:
        return self.state.end is not None or bool(self.state.interventions)

    @property
    def _waits_long(self) -> bool:
        """Whether nothing happens for long, or until someone else writes to it."""
        if self.draining or not self.execution.children.issuperset(self.awaits):
            return False
        return self.wake_at is None or self.wake_at - self.now > timedelta(seconds=HOLD_SECONDS)

    def _due(self) -> QueueEntry | None:
        definition = self.definition
        if self.leaves:
            due_at = None if self._is_settled else self.wake_at
            return QueueEntry(self.execution.saga_id, definition.name, definition.version, due_at, None)
        if self.execution.saga_start is not None:
            return self.execution.saga_start.due(self.now, self.worker_id)
        return None

    def _record(self, fact: Event) -> None:
        self.state = evolve(self.state, fact)
        self.draft.record(self.state.version, fact)

    def _is_open(self, run: Attempt) -> bool:
        """Whether that attempt is the one in flight; a late outcome of another one changes nothing."""
        track = self.state.progress_of(run.step, run.direction)
        return track.progress in (RUNNING, WAITING) and track.attempt == run.attempt

    def _advance(self, *, may_perform: bool) -> None:
        ahead = advance(self.definition, self.state, self.now)
        for fact in ahead.facts:
            if isinstance(fact, (SagaCompleted, SagaCompensated)) and not self._close(fact):
                return
            self._record(fact)
        self.wake_at = ahead.wake_at
        self.call_off = ahead.call_off
        if self.draining:
            return
        local: Attempt | None = None
        begins_to_wait = False
        for run in ahead.run:
            step = self.definition.step(run.step)
            if step.local:
                local = local or run
                continue
            self._record(started(self.definition, self.state, run, self.now))
            if step.waiting is not None and run.direction is FORWARD:
                begins_to_wait = True
            else:
                self.dispatch.append(run)
        if local is not None and may_perform:
            self._perform(local)
        elif not begins_to_wait:
            self.more = local is not None
            return
        self._advance(may_perform=may_perform and local is None)

    def _perform(self, run: Attempt) -> None:
        """Make an attempt of a local step: decided in place, recorded with its start and its outcome."""
        self._record(started(self.definition, self.state, run, self.now))
        step = self.definition.step(run.step)
        context = context_of(self.definition, self.state, run)
        try:
            commands = self.invoke(step, context, self.definition.read_input(self.state.input))
            count = self.draft.handle(commands, self.now)
            outcome: AttemptOutcome = Success(Raw(msgspec.json.encode(LocalResult(count))))
        except NotDecidableYet:
            raise
        except Exception as error:  # noqa: BLE001 -- whatever a step raises is its outcome, and goes on record
            outcome = failure_of(error, local=True)
        self._record(outcome_event(self.definition, self.state, run, outcome, self.now))

    def invoke(self, step: Step, context: StepContext, value: Any) -> Sequence[Command]:
        """Call a local step's action or compensation for its commands."""
        return cast("Sequence[Command]", step.invoke(context, value))

    def _close(self, fact: SagaCompleted | SagaCompensated) -> bool:
        """Perform what the definition tells participants at the end; if they refuse, the saga needs a person."""
        last_words = self._last_words(fact)
        if last_words is None or self.state.step(last_words.__name__).forward.finished:
            return True
        try:
            self.draft.handle(last_words(), self.now)
        except NotDecidableYet:
            raise
        except Exception as error:  # noqa: BLE001 -- the end of a saga may not be lost to its last words
            cause = f"{last_words.__name__} gave up ({type(error).__name__})"
            self._record(InterventionRequired(self.now, last_words.__name__, FORWARD, cause))
            return False
        return True

    def _last_words(self, fact: SagaCompleted | SagaCompensated) -> Callable[[], Sequence[Command]] | None:
        definition = self.definition
        if isinstance(fact, SagaCompleted):
            completed = definition.completed
            if completed is None:
                return None

            def on_completed() -> Sequence[Command]:
                return completed(definition.read_input(self.state.input))

            return on_completed
        compensated = definition.compensated
        if compensated is None:
            return None

        def on_compensated() -> Sequence[Command]:
            return compensated(definition.read_input(self.state.input), fact.cause)

        return on_compensated


def context_of(definition: Definition, state: SagaState, run: Attempt) -> StepContext:
    """What an attempt may know besides its input."""
    return StepContext(state.saga_id, run.step, run.direction, run.attempt, run.key, definition, state.steps)
