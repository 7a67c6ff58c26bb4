"""Facts in words: what happened to which step, and how it came out, on one line."""

from __future__ import annotations

from datetime import datetime
from enum import Enum
from typing import Any, NamedTuple

import msgspec
from msgspec import Raw

from ....domain.choreography.dead_letter import DeliveryFailed
from ....domain.choreography.derived_saga import ConformanceViolation
from ....domain.event import Event
from ....domain.saga.events import (
    Action,
    CancelRequested,
    CompensationFailed,
    CompensationStarted,
    DeadlineExceeded,
    Direction,
    InterventionRequired,
    InterventionResolved,
    SagaCompensated,
    SagaCompleted,
    SagaStarted,
    SignalReceived,
    StepCompensated,
    StepFailed,
    StepOutcomeUnknown,
    StepStarted,
    StepSucceeded,
    TimerFired,
    Wait,
    WaitKind,
)
from .text import one_line
from .timestamps import show_instant

VALUE_CHARACTERS_MAX = 160
"""How much of a value a person sees in a line about it; `--json` has all of it."""


class EventText(NamedTuple):
    """A fact as a person reads it."""

    event: str
    step: str | None
    attempt: int | None
    detail: str
    tone: str | None
    """`bad` for what failed, `back` for what goes back, `good` for a good end."""


def words(fact: Event) -> EventText:
    """What a fact says. A participant's event is told by its fields."""
    step = getattr(fact, "step", None)
    attempt = getattr(fact, "attempt", None)
    return EventText(type(fact).schema.name, step, attempt, _detail(fact), _tone(fact))


def _tone(fact: Event) -> str | None:
    match fact:
        case StepFailed() | StepOutcomeUnknown() | CompensationFailed() | InterventionRequired() | DeadlineExceeded():
            return "bad"
        case ConformanceViolation() | DeliveryFailed():
            return "bad"
        case CompensationStarted() | StepCompensated() | CancelRequested() | SagaCompensated():
            return "back"
        case SagaCompleted():
            return "good"
        case _:
            return None


def _detail(fact: Event) -> str:  # one case for each kind of fact: a table in the shape of a match
    match fact:
        case SagaStarted():
            when = f", begins {show_instant(fact.begins_at)}" if fact.begins_at else ""
            when += f", deadline {show_instant(fact.deadline)}" if fact.deadline else ""
            parent = f", a step of {fact.parent.saga_id}" if fact.parent else ""
            return f"{fact.definition} version {fact.definition_version}{when}{parent}, input {shown(fact.input)}"
        case StepStarted() if fact.wait is not None:
            return f"waits {wait_in_words(fact.wait)}"
        case StepSucceeded() | StepCompensated():
            return f"result {shown(fact.result)}"
        case StepFailed() | CompensationFailed():
            again = f"; again at {show_instant(fact.retry_at)}" if fact.retry_at else "; given up"
            refused = "" if fact.retryable else " (refused)"
            return f"{fact.error.type}: {_cut(fact.error.message)}{refused}{again}"
        case StepOutcomeUnknown():
            again = f"; again at {show_instant(fact.retry_at)}" if fact.retry_at else "; given up"
            return f"its worker {fact.worker or ''} died: it may have been executed{again}"
        case SignalReceived():
            what = f"refuses {fact.name}" if fact.refused else f"gives {fact.name} {shown(fact.payload)}"
            return f"{fact.actor} {what}" + (f": {_cut(fact.reason)}" if fact.reason else "")
        case TimerFired():
            return f"due at {show_instant(fact.due_at)}"
        case DeadlineExceeded():
            return f"deadline {show_instant(fact.deadline)}: it turns back"
        case CancelRequested():
            return f"by {fact.actor}: {_cut(fact.reason)}"
        case InterventionRequired():
            return fact.cause
        case ConformanceViolation():
            return f"{fact.topic} at position {fact.position} {fact.problem}"
        case InterventionResolved():
            result = f", result {shown(fact.result)}" if fact.action is Action.RESOLVE else ""
            return f"{fact.action} by {fact.actor}: {_cut(fact.reason)}{result}"
        case SagaCompleted():
            return f"result {shown(fact.result)}"
        case SagaCompensated():
            return fact.cause
        case _ if hasattr(fact, "key") and hasattr(fact, "attempt"):
            return f"key {fact.key}"
        case _:
            return _fields(fact)


def wait_in_words(wait: Wait) -> str:
    """`for signal approval until …`."""
    until = f" until {show_instant(wait.due_at)}" if wait.due_at is not None else ""
    return until.strip() if wait.kind is WaitKind.TIMER else f"for {wait.kind} {wait.target}{until}"


def direction_of(fact: Event) -> Direction:
    """Whether a fact belongs to the way forward or to the way back."""
    if isinstance(fact, CompensationStarted | StepCompensated | CompensationFailed):
        return Direction.COMPENSATION
    found = getattr(fact, "direction", Direction.FORWARD)
    return found if isinstance(found, Direction) else Direction.FORWARD


def shown(raw: Raw) -> str:
    """A value that a user put in, cut to what fits a line."""
    return _cut(bytes(raw).decode("utf-8", "replace"))


def _fields(fact: Event) -> str:
    parts = []
    for name in fact.__struct_fields__:
        value = getattr(fact, name)
        if name != "at" and value is not None:
            parts.append(f"{name}={_value(value)}")
    return _cut(" ".join(parts))


def _value(value: Any) -> str:
    match value:
        case str():
            return value
        case Enum():
            return str(value.value)
        case datetime():
            return show_instant(value)
        case _:
            return msgspec.json.encode(value).decode()


def _cut(text: str) -> str:
    line = one_line(text)
    return line if len(line) <= VALUE_CHARACTERS_MAX else f"{line[:VALUE_CHARACTERS_MAX]}… ({len(line):,} characters)"
