"""Sub-sagas: sagas that are steps of other sagas. They are started and cancelled here, and their ends become outcomes.

A sub-saga is a saga like any other, with an id that follows from its parent's. Its end wakes the parent in the same
append. The parent also looks at its sub-sagas whenever it is decided, so a lost wake-up or a lost start is made up for.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress

from msgspec import Raw

from ...domain.errors import DefinitionError
from ...domain.recorded_event import RecordedEvent
from ...domain.saga.decide import awaited_sagas
from ...domain.saga.decision import Attempt
from ...domain.saga.error_text import shortened
from ...domain.saga.event_parts import Failure, Parent
from ...domain.saga.events import Effect
from ...domain.saga.evolve import rebuild
from ...domain.saga.outcome import AttemptOutcome, Failed, Parked, Success, failure_of
from ...domain.saga.payload import NULL
from ...domain.saga.state import SagaState, Status
from ...domain.saga.step_kind import is_sub_saga
from ...domain.user_code import is_interruption
from ..errors import SagaConflict, SagaNotFound, WrongState
from ..ledger.context import LedgerContext
from ..ledger.operations import cancel_sub_saga
from ..ledger.saga_start import SagaStart, foreign_saga
from ..ledger.stream_reader import read_streams
from .group_commit.transition import Transition, context_of
from .held_sagas import HeldSaga


class SubSagas:
    """The sub-sagas of the sagas that this worker holds."""

    def __init__(self, context: LedgerContext, start: Callable[[SagaStart], None]) -> None:
        self._context = context
        self._start = start
        self._expecting: dict[str, HeldSaga] = {}
        """For each sub-saga whose start was requested and is not answered yet, the saga that waits for it."""
        self._calling_off: deque[tuple[str, str]] = deque()
        """Sub-sagas to cancel, each with the id of its parent."""

    def look(self, sagas: Sequence[HeldSaga]) -> None:
        """Read the sub-sagas that these sagas wait for: an end becomes an outcome, a missing one is started."""
        awaited = [
            (held, saga_id, attempt)
            for held in sagas
            if held.definition.has_sub_sagas
            for saga_id, attempt in awaited_sagas(held.state).items()
            if saga_id not in self._expecting and not _has_outcome(held, attempt)
        ]
        if awaited:
            histories = self._read([saga_id for _, saga_id, _ in awaited])
            for held, saga_id, attempt in awaited:
                self._look_at(held, saga_id, attempt, histories.get(saga_id, ()))

    def unseen(self, transition: Transition) -> bool:
        """Whether the saga waits for sub-sagas that were neither seen nor started yet."""
        known = transition.saga.children
        return any(saga_id not in known and saga_id not in self._expecting for saga_id in transition.awaits)

    def started(self, saga_id: str, error: Exception | None) -> HeldSaga | None:
        """Note that a start was answered, or that the sub-saga exists; returns the saga to decide again, if any."""
        held = self._expecting.pop(saga_id, None)
        if held is not None:
            if error is None:
                held.children |= {saga_id}  # what could not be started is started by the next attempt
            attempt = awaited_sagas(held.state).get(saga_id)
            if isinstance(error, SagaConflict) and attempt is not None:
                self._conflict(held, saga_id, attempt)
            elif error is not None and attempt is not None:
                held.outcomes.append((attempt, failure_of(error, local=True)))
        return held

    def call_off(self, transition: Transition) -> None:
        """Note the sub-sagas to cancel, so that the parent can compensate; one past its pivot runs to its end."""
        self._calling_off.extend((saga_id, transition.saga.saga_id) for saga_id in transition.call_off)

    def ask_to_turn_back(self) -> None:
        """Cancel the noted sub-sagas. Raises `Unavailable` and `OutcomeUnknown`; the next call cancels the rest."""
        while self._calling_off:
            saga_id, parent = self._calling_off[0]
            # It may be missing, ended, compensating already, past its pivot, or not the parent's: `look` sees to it.
            with suppress(SagaNotFound, WrongState):
                cancel_sub_saga(self._context, saga_id, parent_id=parent)
            self._calling_off.popleft()

    def forget(self) -> None:
        """Drop what is expected: this worker no longer holds the sagas that wait."""
        self._expecting.clear()

    def _look_at(self, held: HeldSaga, saga_id: str, attempt: Attempt, history: Sequence[RecordedEvent]) -> None:
        if not history:
            if held.state.compensating:
                held.outcomes.append((attempt, _without_effect("the saga that it is a step of compensated first")))
            else:
                self._begin(held, saga_id, attempt)
            return
        held.children |= {saga_id}
        state = rebuild(saga_id, (recorded.event for recorded in history))
        if not is_sub_saga(state.parent, held.saga_id):
            self._conflict(held, saga_id, attempt)
            return
        outcome = outcome_of(state)
        if outcome is not None:
            held.outcomes.append((attempt, outcome))

    def _conflict(self, held: HeldSaga, saga_id: str, attempt: Attempt) -> None:
        """The id belongs to a saga that somebody else started: a person decides, unless the parent turns back."""
        parked = any(known.step == attempt.step for known in held.state.interventions)
        if parked or _has_outcome(held, attempt):
            return
        cause = foreign_saga(saga_id, held.saga_id)
        held.outcomes.append((attempt, _without_effect(cause) if held.state.compensating else Parked(cause)))

    def _begin(self, held: HeldSaga, saga_id: str, attempt: Attempt) -> None:
        """Start a sub-saga with the input that the step's function returns; if that raises, the step fails."""
        try:
            saga_start = start_of(held, saga_id, attempt)
        except BaseException as error:
            if is_interruption(error):
                raise
            held.outcomes.append((attempt, failure_of(error, local=True)))
            return
        try:
            self._context.definition_versions.pin_fingerprint(saga_start.definition)
        except DefinitionError as error:
            held.outcomes.append((attempt, failure_of(error, local=True)))
        else:
            self._expecting[saga_id] = held
            self._start(saga_start)

    def _read(self, saga_ids: Sequence[str]) -> Mapping[str, Sequence[RecordedEvent]]:
        after = [(saga_id, 0) for saga_id in saga_ids]
        return read_streams(self._context.backend, self._context.codec, after).readable


def _has_outcome(held: HeldSaga, attempt: Attempt) -> bool:
    """Whether an attempt has an outcome that is not recorded yet: what it waits for must not be started again."""
    return any(known == attempt for known, _ in held.outcomes)


def start_of(held: HeldSaga, saga_id: str, attempt: Attempt) -> SagaStart:
    """Returns the start of a sub-saga, with the input that the step's function returns. Raises what that raises."""
    definition, state = held.definition, held.state
    value = definition.step(attempt.step).invoke(
        context_of(definition, state, attempt), definition.read_input(state.input)
    )
    child = definition.sub_saga(attempt.step)
    parent = Parent(held.saga_id, definition.name, definition.version)
    key = saga_id.removeprefix(f"{child.name}-")
    traceparent = None if held.trace is None else held.trace.traceparent_of(attempt)
    return SagaStart.of(child, value, key, parent=parent, actor=state.started_by, traceparent=traceparent)


def outcome_of(state: SagaState) -> AttemptOutcome | None:
    """Returns what the end of a sub-saga means for its parent's step; None while it has not ended."""
    match state.end:
        case None:
            return None
        case Status.COMPLETED:
            return Success(Raw(state.result or NULL))
        case Status.COMPENSATED:
            return _without_effect(f"{state.saga_id}: {state.cause}")
        case _:
            error = Failure("SubSagaAbandoned", shortened(f"{state.saga_id}: {state.cause}"))
            return Failed(error, Effect.UNKNOWN, retryable=False)


def _without_effect(why: str) -> Failed:
    """Returns the failure of a sub-saga that has undone its steps, or that never began."""
    return Failed(Failure("SubSagaCompensated", shortened(why)), Effect.NONE, retryable=False)
