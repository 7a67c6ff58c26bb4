"""One transition of one saga: what happened since the last append, and all that follows from it, as one append.

An action that calls a service runs only after its start is durable, so those attempts are dispatched once the append is
acknowledged. A local step is decided here: its start, its events and its success go into the same append.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from datetime import datetime, timedelta
from types import MappingProxyType
from typing import Any, cast

import msgspec
from msgspec import Raw, Struct

from ....domain.event import Event
from ....domain.participant import Command
from ....domain.saga.asking import instead_of
from ....domain.saga.decide import advance, awaited_sagas, started
from ....domain.saga.decision import Attempt
from ....domain.saga.definition import Definition
from ....domain.saga.error_text import type_name
from ....domain.saga.events import FORWARD, InterventionRequired, SagaCompensated, SagaCompleted, StepProgressed
from ....domain.saga.evolve import evolve
from ....domain.saga.outcome import AttemptOutcome, Failed, Success, failure_of, orphaned, outcome_event
from ....domain.saga.signal_check import rejected_signals
from ....domain.saga.state import SagaState
from ....domain.saga.step import AnyStep
from ....domain.saga.step_context import StepContext
from ....domain.saga.step_kind import CALL, LOCAL, LocalResult
from ....domain.saga.step_state import RUNNING, WAITING
from ....domain.user_code import is_interruption
from ...event_store.append_call import Append, Appended
from ...event_store.codec import UnreadableEvent
from ...event_store.work_queue import QueueEntry
from ...ledger.append_builder import AppendBuilder, NotDecidableYet
from ..held_sagas import HeldSaga
from .parking import parking_events

HOLD_SECONDS = 5.0
"""A saga that waits longer than this goes back to the work queue, so that it occupies no memory here."""


class Transition(Struct, eq=False):
    """The next append of a saga, as drafted; nothing is performed before the append is acknowledged."""

    saga: HeldSaga
    definition: Definition
    state: SagaState
    """The saga's state including the drafted events; at first, its present state."""
    draft: AppendBuilder
    worker_id: str
    now: datetime
    draining: bool
    """Whether to record outcomes only, and start nothing."""
    dispatch: list[Attempt] = []
    """Attempts to make once the append is acknowledged."""
    more: bool = False
    """Whether another local step is ready to follow."""
    wake_at: datetime | None = None
    call_off: tuple[str, ...] = ()
    """Sub-sagas that have to be cancelled before this saga can compensate."""
    unwanted: tuple[str, ...] = ()
    """Steps whose actions still run, although the saga compensates: they should end."""
    leaves: bool = False
    """Whether the worker lets go of the saga after this append: it ended, needs a person, or waits for long. Decided
    once, because the append says so: what settles in the same batch may change the answer."""
    reported: Mapping[Attempt, Raw] | None = None
    """What this transition has recorded of the progress of attempts, or found to be late."""
    failures: tuple[tuple[Attempt, Failed, BaseException], ...] = ()
    """Attempts at local steps that failed, for the log."""
    recorded: list[Event] | None = None
    """The drafted events of the saga itself; None, as mostly: nothing observes them."""
    dealt_with: int = 0
    """How many of the saga's outcomes this transition has recorded, or found to be late."""

    def build(self) -> Transition:
        """Draft everything. Raises `NotDecidableYet` when streams of participants have to be read first."""
        saga = self.saga
        if saga.fault is not None:
            for event in parking_events(saga, self.definition, saga.fault, self.now):
                self._record(event)
            self.dealt_with = len(saga.outcomes)
            self.reported = saga.reports
            self.leaves = self._may_leave
            return self
        if saga.saga_start is not None:
            self._record(saga.saga_start.fact(self.now))
            self.draft.handle(saga.saga_start.commands(), self.now, beginning=True)
        if saga.lost:
            for event in orphaned(self.definition, self.state, saga.previous_worker, self.now):
                self._record(event)
        if saga.reports is not None:
            self._record_reports(saga.reports)
        for attempt, outcome in saga.outcomes:
            if self._is_current(attempt):
                self._record(outcome_event(self.definition, self.state, attempt, outcome, self.now))
        self.dealt_with = len(saga.outcomes)
        self._advance(may_perform=not self.draining)
        self.leaves = self._may_leave
        return self

    def append(self) -> Append:
        """Returns the append, with the saga's entry in the work queue; an ended sub-saga wakes its parent, too."""
        parent = self.state.parent
        if parent is None or self.state.end is None:
            return Append(self.draft.events, self._queue_entry())
        wake = QueueEntry(parent.saga_id, parent.definition, parent.definition_version, self.now, None)
        return Append(self.draft.events, self._queue_entry(), [wake])

    def settle(self, appended: Appended | None) -> None:
        """Applies the acknowledged append to the saga."""
        saga = self.saga
        if appended is not None and self.draft.last_own is not None:
            saga.position = appended.first_position + self.draft.last_own
        saga.saga_start = None
        saga.lost = False
        saga.fault = None
        saga.state = self.state
        del saga.outcomes[: self.dealt_with]
        if self.reported is not None and saga.reports is not None:
            saga.reports = {a: p for a, p in saga.reports.items() if self.reported.get(a) is not p} or None

    def invoke(self, step: AnyStep, context: StepContext, value: Any) -> Sequence[Command]:
        """Call the action or the compensation of a local step; returns its commands."""
        return tuple(cast("Iterable[Command] | None", step.invoke(context, value)) or ())

    @property
    def writes(self) -> bool:
        """Whether there is anything to append."""
        return bool(self.draft.events) or self._queue_entry() is not None

    @property
    def awaits(self) -> Mapping[str, Attempt]:
        """The sub-sagas that the saga waits for, each with the attempt that waits."""
        return awaited_sagas(self.state) if self.definition.has_sub_sagas else {}

    @property
    def _may_leave(self) -> bool:
        if self.more or self.dispatch or self.state.in_flight:
            return False
        return self._needs_no_worker or self._waits_long

    @property
    def _needs_no_worker(self) -> bool:
        return self.state.end is not None or bool(self.state.interventions)

    @property
    def _waits_long(self) -> bool:
        """Whether the saga waits for long, or until another process writes to it."""
        if self.draining or not self.saga.children.issuperset(self.awaits):
            return False
        return self.wake_at is None or self.wake_at - self.now > timedelta(seconds=HOLD_SECONDS)

    def _queue_entry(self) -> QueueEntry | None:
        definition = self.definition
        if self.leaves:
            due_at = None if self._needs_no_worker else self.wake_at
            return QueueEntry(self.saga.saga_id, definition.name, definition.version, due_at, None)
        if self.saga.saga_start is not None:
            return self.saga.saga_start.due(self.now, self.worker_id)
        return None

    def _record(self, event: Event) -> None:
        self.state = evolve(self.state, event)
        self.draft.record(self.state.version, event)
        if self.recorded is not None:
            self.recorded.append(event)

    def _record_reports(self, reports: Mapping[Attempt, Raw]) -> None:
        for made, progress in reports.items():
            if self._is_current(made):
                self._record(StepProgressed(self.now, made.step, made.attempt, made.direction, progress))
        self.reported = reports

    def _is_current(self, attempt: Attempt) -> bool:
        """Whether this attempt is the one in flight; the late outcome of an earlier one changes nothing."""
        progress = self.state.progress_of(attempt.step, attempt.direction)
        return progress.progress in (RUNNING, WAITING) and progress.attempt == attempt.attempt

    def _advance(self, *, may_perform: bool) -> None:
        """Record what follows, and start the attempts that are due: every call and wait, and one local attempt."""
        for _ in range(4 * len(self.definition.steps) + 8):  # not a recursion: there may be more steps than frames
            following = self._advance_once(may_perform=may_perform)
            if following is None:
                return
            may_perform = following
        raise AssertionError(f"saga {self.saga.saga_id!r} keeps deciding without end")

    def _advance_once(self, *, may_perform: bool) -> bool | None:
        """Returns whether a local attempt may still be made in the decision that follows; None if none follows."""
        if self.state.signals and self.definition.signal_checks:
            for rejected in rejected_signals(self.definition.signal_checks, self.state, self.now):
                self._record(rejected)
        following = advance(self.definition, self.state, self.now)
        for event in following.events:
            if isinstance(event, (SagaCompleted, SagaCompensated)) and not self._run_end_hook(event):
                return None
            self._record(event)
        decision = following.decision
        self.wake_at = decision.wake_at
        self.call_off = decision.call_off
        self.unwanted = decision.unwanted
        if self.draining:
            return None
        call, local, wait = decision.call, decision.local, decision.wait
        for attempt in decision.ask:
            if not self._is_needed(attempt):
                return may_perform
            mode = self.definition.step(attempt.step).kind.mode
            if mode is CALL:
                call += (attempt,)
            elif mode is LOCAL:
                local += (attempt,)
            else:
                wait += (attempt,)
        for attempt in call:
            self._record(started(self.definition, self.state, attempt, self.now))
            self.dispatch.append(attempt)
        for attempt in wait:
            self._record(started(self.definition, self.state, attempt, self.now))
        if local and may_perform:
            self._perform(local[0])
        elif not wait:
            self.more = bool(local)
            return None
        return may_perform and not local

    def _is_needed(self, attempt: Attempt) -> bool:
        """Whether to make an attempt, by what the definition's code says, which is recorded if the answer is no."""
        context = context_of(self.definition, self.state, attempt)
        found = instead_of(self.definition, self.state, attempt, context, self.now)
        for event in found:
            self._record(event)
        return not found

    def _perform(self, attempt: Attempt) -> None:
        """Make an attempt at a local step: its start, its events and its outcome go into this append."""
        self._record(started(self.definition, self.state, attempt, self.now))
        step = self.definition.step(attempt.step)
        context = context_of(self.definition, self.state, attempt)
        try:
            commands = self.invoke(step, context, self.definition.read_input(self.state.input))
            count = self.draft.handle(commands, self.now)
            outcome: AttemptOutcome = Success(Raw(msgspec.json.encode(LocalResult(count))))
        except (NotDecidableYet, UnreadableEvent):
            raise
        except BaseException as error:
            if is_interruption(error):
                raise
            outcome = failed = failure_of(error, local=True, policies=step.policies_of(attempt.direction))
            self.failures += ((attempt, failed, error),)
        self._record(outcome_event(self.definition, self.state, attempt, outcome, self.now))

    def _run_end_hook(self, event: SagaCompleted | SagaCompensated) -> bool:
        """Handle the commands of the definition's hook for this end; False if they failed and a person is needed.

        A person who resolves or skips the failed hook marks its name as finished, like that of a step; the name is one
        that no step has.
        """
        hook: Callable[..., Sequence[Command]] | None
        arguments: tuple[str, ...]
        if isinstance(event, SagaCompleted):
            name, hook, arguments = self.definition.completed_name, self.definition.completed, ()
        else:
            name, hook, arguments = self.definition.compensated_name, self.definition.compensated, (event.cause,)
        if hook is None or self.state.step(name).forward.finished:
            return True
        try:
            commands = tuple(hook(self.definition.read_input(self.state.input), *arguments) or ())
            self.draft.handle(commands, self.now)
        except (NotDecidableYet, UnreadableEvent):
            raise
        except BaseException as error:
            if is_interruption(error):
                raise
            cause = f"{name} gave up ({type_name(error)})"
            self._record(InterventionRequired(self.now, name, FORWARD, cause))
            return False
        return True


def context_of(definition: Definition, state: SagaState, attempt: Attempt) -> StepContext:
    """Returns what an attempt may know besides its input."""
    return StepContext(
        state.saga_id,
        attempt.step,
        attempt.direction,
        attempt.attempt,
        attempt.key,
        definition.read_result,
        MappingProxyType(state.steps),
        MappingProxyType(state.items) if state.items else {},
        definition.read_input,
        state.input,
    )
