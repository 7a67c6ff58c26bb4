"""Sagas that are steps of other sagas: started, called off, and their ends recorded in the saga that waits.

A sub-saga is a saga like any other, with an id that follows from its parent's. Its end wakes the parent in the same
append; whatever is lost on the way is found again by looking at it, whenever the parent is decided on.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress

from msgspec import Raw

from ...domain.recorded_event import RecordedEvent
from ...domain.saga.decide import NULL, Attempt, awaited_sagas
from ...domain.saga.events import Effect, Failure, Parent
from ...domain.saga.evolve import rebuild
from ...domain.saga.outcome import AttemptOutcome, Failed, Success, failure_of
from ...domain.saga.state import SagaState, Status
from ..errors import SagaNotFound, Unavailable, WrongState
from ..ledger.context import LedgerContext
from ..ledger.operations import cancel
from ..ledger.saga_start import SagaStart
from .group_commit.transition import Execution, Transition, context_of
from .stream_reader import read_streams


class SubSagas:
    """What the sagas held here have to do with those that are steps of theirs."""

    def __init__(self, context: LedgerContext, start: Callable[[SagaStart], None]) -> None:
        self._context = context
        self._start = start
        self._expecting: dict[str, Execution] = {}
        """Who waits for a start that was asked for and is not answered yet."""
        self._calling_off: deque[tuple[str, str]] = deque()
        """Those that have to be asked to turn back, each with the saga that it is a step of."""

    def look(self, executions: Sequence[Execution]) -> None:
        """Take the ends of sub-sagas as outcomes; start those that are not there."""
        awaited = [
            (execution, saga_id, run)
            for execution in executions
            if execution.definition.nests
            for saga_id, run in awaited_sagas(execution.state).items()
            if saga_id not in self._expecting
        ]
        if awaited:
            histories = self._read([saga_id for _, saga_id, _ in awaited])
            for execution, saga_id, run in awaited:
                self._look_at(execution, saga_id, run, histories.get(saga_id, ()))

    def unseen(self, transition: Transition) -> bool:
        """Whether it waits for sagas that were neither seen nor asked for yet."""
        if not transition.definition.nests:
            return False
        known = transition.execution.children
        return any(saga_id not in known and saga_id not in self._expecting for saga_id in transition.awaits)

    def started(self, saga_id: str, error: Exception | None) -> Execution | None:
        """Learn what became of a start, or of the saga itself; gives the saga that has to be decided on again."""
        execution = self._expecting.pop(saga_id, None)
        if execution is not None:
            execution.children |= {saga_id}
            run = awaited_sagas(execution.state).get(saga_id)
            if error is not None and run is not None:
                execution.outcomes.append((run, failure_of(error, local=True)))
        return execution

    def call_off(self, transition: Transition) -> None:
        """The sub-sagas of one that turns back have to do so first; those past their pivot go on to their end."""
        self._calling_off.extend((saga_id, transition.execution.saga_id) for saga_id in transition.call_off)

    def ask_to_turn_back(self) -> None:
        """Ask those that were called off. Raises `Unavailable` and `OutcomeUnknown`; the rest is asked next time."""
        while self._calling_off:
            saga_id, parent = self._calling_off[0]
            # One that is not there, over, turning back already, or past its pivot, cannot: all of which `look` sees.
            with suppress(SagaNotFound, WrongState):
                cancel(self._context, saga_id, actor=f"saga {parent}", reason="the saga it is a step of turns back")
            self._calling_off.popleft()

    def forget(self) -> None:
        """The sagas held here are with others now."""
        self._expecting.clear()

    def _look_at(self, execution: Execution, saga_id: str, run: Attempt, history: Sequence[RecordedEvent]) -> None:
        if not history:
            if execution.state.compensating:
                execution.outcomes.append((run, _never("the saga that it is a step of turned back before")))
            else:
                self._begin(execution, saga_id, run)
            return
        execution.children |= {saga_id}
        outcome = _outcome(rebuild(saga_id, (recorded.event for recorded in history)))
        if outcome is not None and not any(known == run for known, _ in execution.outcomes):
            execution.outcomes.append((run, outcome))

    def _begin(self, execution: Execution, saga_id: str, run: Attempt) -> None:
        """Start it with the input that the step's function gives. What it raises is the step's failure."""
        definition = execution.definition
        step = definition.step(run.step)
        try:
            value = step.invoke(
                context_of(definition, execution.state, run), definition.read_input(execution.state.input)
            )
            child = step.nested.definition
            parent = Parent(execution.saga_id, definition.name, definition.version)
            self._context.definition_versions.pin_fingerprint(child)
            saga_start = SagaStart.of(child, value, saga_id.removeprefix(f"{child.name}-"), parent=parent)
        except Unavailable:
            raise
        except Exception as error:  # noqa: BLE001 -- whatever a step raises is its outcome, and goes on record
            execution.outcomes.append((run, failure_of(error, local=True)))
        else:
            self._expecting[saga_id] = execution
            self._start(saga_start)

    def _read(self, saga_ids: Sequence[str]) -> Mapping[str, Sequence[RecordedEvent]]:
        after = [(saga_id, 0) for saga_id in saga_ids]
        return read_streams(self._context.backend, self._context.codec, after).readable


def _outcome(state: SagaState) -> AttemptOutcome | None:
    """What the end of a sub-saga means for the step that it is; None as long as it has not ended."""
    match state.end:
        case None:
            return None
        case Status.COMPLETED:
            return Success(Raw(state.result or NULL))
        case Status.COMPENSATED:
            return _never(f"{state.saga_id}: {state.cause}")
        case _:
            error = Failure("SubSagaAbandoned", f"{state.saga_id}: {state.cause}")
            return Failed(error, Effect.UNKNOWN, retryable=False)


def _never(why: str) -> Failed:
    """It has undone what it did, or never began: nothing is left of it."""
    return Failed(Failure("SubSagaCompensated", why), Effect.NONE, retryable=False)
