"""Events in words: what happened to which step, and with which outcome, on one line."""

from __future__ import annotations

import re
from collections.abc import Callable
from datetime import datetime
from enum import Enum
from typing import Any, NamedTuple, TypeAlias

import msgspec
from msgspec import Raw

from ....domain.choreography.dead_letter import DeliveryFailed
from ....domain.choreography.derived_saga import ConformanceViolation
from ....domain.event import Event
from ....domain.saga.event_parts import Wait, WaitKind
from ....domain.saga.events import (
    Action,
    ApprovalCounted,
    CancelRequested,
    CompensationFailed,
    CompensationStarted,
    ConditionNotMet,
    DeadlineExceeded,
    Direction,
    Effect,
    InterventionRequired,
    InterventionResolved,
    ItemsListed,
    SagaCompensated,
    SagaCompleted,
    SagaStarted,
    SignalReceived,
    SignalRejected,
    StepCompensated,
    StepFailed,
    StepOutcomeUnknown,
    StepProgressed,
    StepStarted,
    StepSucceeded,
    TimerFired,
)
from .text import counted, one_line
from .timestamps import show_instant

ShowInstant: TypeAlias = Callable[[datetime | None], str]
"""Puts a time into words."""
VALUE_CHARACTERS_MAX = 160
"""How much of a value a line shows; `--json` has all of it."""
_WHOLE_WORDS = re.compile(r".{100,}[\s,;]")
"""The start of a value that is cut, up to the end of a word."""


class EventText(NamedTuple):
    """An event as a person reads it."""

    event: str
    step: str | None
    attempt: int | None
    detail: str
    tone: str | None
    """`bad` for a failure, `back` for what undoes, `good` for a completed saga."""


def describe(event: Event, when: ShowInstant = show_instant) -> EventText:
    """Put an event into words. The event of a participant is described by its fields."""
    step = getattr(event, "step", None)
    attempt = getattr(event, "attempt", None)
    return EventText(type(event).schema.name, step, attempt, _detail(event, when), _tone(event))


def describe_unregistered(topic: str, data: Event | Raw) -> EventText:
    """Describe an event whose type is not registered by the JSON that is stored of it."""
    return EventText(topic, None, None, shown(data) if isinstance(data, Raw) else _fields(data), None)


def _tone(event: Event) -> str | None:
    match event:
        case StepFailed() | StepOutcomeUnknown() | CompensationFailed() | InterventionRequired() | DeadlineExceeded():
            return "bad"
        case ConformanceViolation() | DeliveryFailed() | SignalRejected():
            return "bad"
        case CompensationStarted() | StepCompensated() | CancelRequested() | SagaCompensated():
            return "back"
        case SagaCompleted():
            return "good"
        case _:
            return None


def _detail(event: Event, at: ShowInstant) -> str:  # a table in the shape of a match: one case for each type of event
    match event:
        case SagaStarted():
            when = f", begins {at(event.begins_at)}" if event.begins_at else ""
            when += f", deadline {at(event.deadline)}" if event.deadline else ""
            parent = f", a step of {event.parent.saga_id}" if event.parent else ""
            return f"{event.definition} version {event.definition_version}{when}{parent}, input {shown(event.input)}"
        case StepStarted() if event.wait is not None:
            return f"waits {wait_in_words(event.wait, at)}"
        case ConditionNotMet():
            return "its condition is false: the saga goes on without it"
        case ItemsListed():
            last = event.first + len(event.items) - 1
            which = "" if len(event.items) == event.total else f", here {event.first} to {last}"
            return f"{counted(event.total, 'item')}{which}"
        case StepProgressed():
            return f"progress {shown(event.progress)}"
        case StepSucceeded() | StepCompensated():
            return f"result {shown(event.result)}"
        case StepFailed() | CompensationFailed():
            again = f"; again at {at(event.retry_at)}" if event.retry_at else "; given up"
            final = "" if event.retryable else " (refused)" if event.effect is Effect.NONE else " (final)"
            return f"{event.error.type}: {cut(event.error.message)}{final}{again}"
        case StepOutcomeUnknown():
            again = f"; again at {at(event.retry_at)}" if event.retry_at else "; given up"
            return f"its worker {event.worker or ''} died: it may have been executed{again}"
        case SignalReceived():
            what = f"refuses {event.name}" if event.refused else f"gives {event.name} {shown(event.payload)}"
            return f"{event.actor} {what}" + (f": {cut(event.reason)}" if event.reason else "")
        case ApprovalCounted():
            return f"{event.approvals} of {event.needed}: {event.actor} approves"
        case SignalRejected():
            why = f"{event.error.type}: {cut(event.error.message)}"
            return f"signal {event.name} at version {event.signal} does not fit, and counts for no step: {why}"
        case TimerFired():
            return f"due at {at(event.due_at)}"
        case DeadlineExceeded():
            return f"deadline {at(event.deadline)}: the saga is compensated"
        case CancelRequested():
            return f"by {event.actor}: {cut(event.reason)}"
        case InterventionRequired():
            return event.cause
        case ConformanceViolation():
            return f"{event.topic} at position {event.position} {event.problem}"
        case InterventionResolved():
            result = f", result {shown(event.result)}" if event.action is Action.RESOLVE else ""
            return f"{event.action} by {event.actor}: {cut(event.reason)}{result}"
        case SagaCompleted():
            return f"result {shown(event.result)}"
        case SagaCompensated():
            return event.cause
        case _ if hasattr(event, "key") and hasattr(event, "attempt"):
            return f"key {event.key}"
        case _:
            return _fields(event)


def wait_in_words(wait: Wait, at: ShowInstant = show_instant) -> str:
    """Describe a wait, such as `for signal approval until 2026-03-01T02:17:05.120Z`."""
    if wait.kind is WaitKind.ITEMS:
        return "for its items"
    until = f" until {at(wait.due_at)}" if wait.due_at is not None else ""
    if wait.kind is WaitKind.TIMER:
        return until.strip()
    number = "" if wait.approvals is None else f", {counted(wait.approvals, 'approval')}"
    excluded = f", not by {' or '.join(wait.excluded)}" if wait.excluded else ""
    return f"for {wait.kind} {wait.target}{until}{number}{excluded}"


def direction_of(event: Event) -> Direction:
    """Return whether an event belongs to the actions of a saga or to its compensations."""
    if isinstance(event, CompensationStarted | StepCompensated | CompensationFailed):
        return Direction.COMPENSATION
    found = getattr(event, "direction", Direction.FORWARD)
    return found if isinstance(found, Direction) else Direction.FORWARD


def shown(raw: Raw) -> str:
    """Return a user's value as text, cut to what fits a line."""
    return cut(bytes(raw).decode("utf-8", "replace"))


def _fields(event: Event) -> str:
    parts = []
    for name in event.__struct_fields__:
        value = getattr(event, name)
        if name != "at" and value is not None:
            parts.append(f"{name}={_value(value)}")
    return cut(" ".join(parts))


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


def cut(text: str) -> str:
    """Return a text on one line, cut to what fits there."""
    line = one_line(text)
    if len(line) <= VALUE_CHARACTERS_MAX:
        return line
    start = _WHOLE_WORDS.match(line, 0, VALUE_CHARACTERS_MAX)
    return f"{line[: VALUE_CHARACTERS_MAX if start is None else start.end()]}… ({len(line):,} characters)"
