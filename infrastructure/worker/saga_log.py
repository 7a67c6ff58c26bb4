"""What a worker logs of sagas: starts and ends, attempts that failed, and sagas that need a person.

Messages name sagas, steps and types of errors. They repeat no input, no result and no text of an error: the text is in
the traceback, which goes with the record.
"""

from __future__ import annotations

import logging
from typing import Any

from ...domain.errors import AttemptCancelled, StepRejected
from ...domain.saga.decision import Attempt
from ...domain.saga.definition import Definition
from ...domain.saga.error_text import parts_of, type_name
from ...domain.saga.events import FORWARD, Direction
from ...domain.saga.outcome import Failed
from ...domain.saga.state import SagaState
from ..runtime.traceback_log import log_traceback
from .group_commit.transition import Transition
from .held_sagas import HeldSaga

log = logging.getLogger(__name__)


def log_failed_attempt(saga: HeldSaga, attempt: Attempt, outcome: Failed, error: BaseException, worker: str) -> None:
    """Log an attempt that failed, with its traceback. A refusal is an outcome like any other, and has none.

    Never raises, whatever the code of the exception does.
    """
    is_refusal = attempt.direction is FORWARD and all(issubclass(type(part), StepRejected) for part in parts_of(error))
    is_expected = is_refusal or issubclass(type(error), AttemptCancelled)
    level = logging.INFO if is_expected else logging.WARNING
    if not log.isEnabledFor(level):
        return
    saga_id = saga.saga_id
    extra = {**attempt_fields(saga, attempt, worker), "error_type": type_name(error)}
    place = _place(attempt.step, attempt.direction)
    if is_refusal:
        log.info("%s of saga %s was refused", place, saga_id, extra=extra)
    elif is_expected:
        log.info(
            "attempt %d at %s of saga %s was ended: it is not wanted", attempt.attempt, place, saga_id, extra=extra
        )
    else:
        what = "attempt %d at %s of saga %s failed (%s)"
        words = (attempt.attempt, place, saga_id, _prospect(saga.definition, attempt, outcome))
        log_traceback(log, logging.WARNING, what, words, error, extra)


def log_transition(transition: Transition, before: SagaState) -> None:
    """Log what is new in a transition that was acknowledged: `before` is the state of its saga until then."""
    saga, state, worker = transition.saga, transition.state, transition.worker_id
    for attempt, outcome, error in transition.failures:
        log_failed_attempt(saga, attempt, outcome, error, worker)
    if saga.saga_start is not None and log.isEnabledFor(logging.INFO):
        log.info("saga %s started", saga.saga_id, extra=_fields(saga, worker))
    if saga.fault is None:  # otherwise the error was logged
        for intervention in state.interventions:
            if intervention not in before.interventions:
                place = _place(intervention.step, intervention.direction)
                log.error(
                    "saga %s needs a person for %s: %s",
                    saga.saga_id,
                    place,
                    intervention.cause,
                    extra={
                        **_fields(saga, worker),
                        "step": intervention.step,
                        "direction": str(intervention.direction),
                    },
                )
    if state.end is not None and before.end is None and log.isEnabledFor(logging.INFO):
        begun = state.begins_at or state.started_at
        seconds = 0.0 if begun is None or state.ended_at is None else (state.ended_at - begun).total_seconds()
        extra = {
            **_fields(saga, worker),
            "status": str(state.end),
            "duration_seconds": seconds,
        }
        log.info("saga %s ended: %s after %.3f s", saga.saga_id, state.end, seconds, extra=extra)


def log_claim(saga: HeldSaga, worker: str) -> None:
    """Log that a worker took a saga from the work queue: a new one, or one that a worker released or lost."""
    if not log.isEnabledFor(logging.INFO):
        return
    extra = _fields(saga, worker)
    if saga.lost:
        lost = len(saga.state.in_flight)
        was = saga.previous_worker
        log.info(
            "saga %s is taken over from worker %s: the outcome of %d attempts is unknown",
            saga.saga_id,
            was,
            lost,
            extra=extra,
        )
    elif not saga.state.steps:
        log.info("saga %s is taken up", saga.saga_id, extra=extra)
    else:
        log.debug("saga %s goes on", saga.saga_id, extra=extra)


def log_fault(saga: HeldSaga, error: Exception, worker: str) -> None:
    """Log that a saga needs a person because it cannot be decided on or written. Never raises."""
    what = "saga %s needs a person: it cannot be decided on or written"
    extra = {**_fields(saga, worker), "error_type": type_name(error)}
    log_traceback(log, logging.ERROR, what, (saga.saga_id,), error, extra)


def attempt_fields(saga: HeldSaga, attempt: Attempt, worker: str) -> dict[str, Any]:
    """Returns the attributes of a record about an attempt."""
    return {
        **_fields(saga, worker),
        "step": attempt.step,
        "direction": str(attempt.direction),
        "attempt": attempt.attempt,
    }


def _prospect(definition: Definition, attempt: Attempt, outcome: Failed) -> str:
    """Returns whether there may be another attempt."""
    if not outcome.retryable:
        return "it is not tried again"
    policy = outcome.retry or definition.step(attempt.step).policies_of(attempt.direction).default
    return f"its policy allows {policy.attempts}"


def _place(step: str, direction: Direction) -> str:
    return f"step {step}" if direction is FORWARD else f"the compensation of step {step}"


def _fields(saga: HeldSaga, worker: str) -> dict[str, Any]:
    fields = {"saga_id": saga.saga_id, "definition": saga.definition.name, "worker": worker}
    trace_id = None if saga.trace is None else saga.trace.trace_id
    return fields if trace_id is None else {**fields, "trace_id": trace_id}
