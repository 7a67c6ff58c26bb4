"""What a saga waits for now, and what a person can do about it."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime
from enum import StrEnum
from typing import NamedTuple

from ...domain.saga.event_parts import Wait, WaitKind
from ...domain.saga.events import Action
from ...domain.saga.signals import Share, approvals_in_words, shares
from ...domain.saga.state import SagaState, Status
from ...domain.saga.step_state import Progress
from .process_report import ParkedDelivery, ProcessReport


class ActionName(StrEnum):
    """What a person can do to a saga."""

    RETRY = Action.RETRY.value
    SKIP = Action.SKIP.value
    RESOLVE = Action.RESOLVE.value
    ABANDON = Action.ABANDON.value
    APPROVE = "approve"
    REFUSE = "refuse"
    REPLAY = "replay"
    """Let a service try a parked event again."""
    CANCEL = "cancel"


INTERVENTIONS = (ActionName.RETRY, ActionName.SKIP, ActionName.RESOLVE, ActionName.ABANDON)


class PossibleAction(NamedTuple):
    """One action that the saga's present state allows."""

    name: ActionName
    why: str
    """What calls for it."""
    step: str | None = None
    """The step that it is about; None if it is about the whole saga."""
    delivery: ParkedDelivery | None = None
    """The delivery to replay."""


class SagaWait(NamedTuple):
    """Something that a waiting saga waits for."""

    step: str | None
    """The step that waits; None if the saga itself waits to begin."""
    until: datetime | None
    wait: Wait | None = None
    """The timer, signal or sub-saga; None if an attempt is to be made again, or the saga to begin."""
    share: Share | None = None
    """Of a wait for a signal, what has come of it."""


def waits_of(state: SagaState) -> Iterator[SagaWait]:
    """Yield what a saga waits for, if it waits."""
    if state.status is not Status.WAITING:
        return
    if state.scheduled:
        yield SagaWait(None, state.begins_at)
    for name, step in state.steps.items():
        progress = step.forward
        if progress.progress is Progress.RETRYING:
            yield SagaWait(name, progress.retry_at)
        elif progress.progress is Progress.WAITING and progress.wait is not None:
            wait = progress.wait
            share = shares(state, wait.target or "", {}).get(name) if wait.kind is WaitKind.SIGNAL else None
            yield SagaWait(name, wait.due_at, wait, share)
    retries = [(step.forward.retry_at, name) for name, step in state.open_items if step.forward.retry_at is not None]
    if retries:
        retry_at, name = min(retries)
        yield SagaWait(name, retry_at)


def progress_of(wait: SagaWait) -> str:
    """Return how far a wait for approvals has come, such as `: 1 of 2 approved, by ann`."""
    if wait.share is None or wait.wait is None:
        return ""
    if wait.share.is_settled:
        return ": what ends the wait has come, and a worker takes it next"
    return "" if wait.wait.approvals is None else f": {approvals_in_words(wait.wait, wait.share.approvals)}"


def actions_on_saga(state: SagaState) -> Iterator[PossibleAction]:
    """Yield what a person can do to an orchestrated saga now."""
    for intervention in state.interventions:
        for name in INTERVENTIONS:
            yield PossibleAction(name, intervention.cause, intervention.step)
    for each in waits_of(state):
        if each.wait is not None and each.share is not None and not each.share.is_settled:
            why = f"step {each.step} waits for signal {each.wait.target}{progress_of(each)}"
            yield PossibleAction(ActionName.APPROVE, why, each.step)
            yield PossibleAction(ActionName.REFUSE, why, each.step)
    if state.end is None and not state.compensating and not state.past_pivot and not state.interventions:
        yield PossibleAction(ActionName.CANCEL, "the saga can still be compensated")


def actions_on_process(report: ProcessReport) -> Iterator[PossibleAction]:
    """Yield what a person can do to a choreographed saga now."""
    for delivery in report.parked:
        why = f"service {delivery.service} could not handle event {delivery.position}"
        yield PossibleAction(ActionName.REPLAY, why, delivery=delivery)
    if report.can_be_cancelled:
        yield PossibleAction(ActionName.CANCEL, "the saga can still be compensated")
