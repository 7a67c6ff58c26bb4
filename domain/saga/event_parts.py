"""What several events of a saga are made of; everyone else imports it from `events`."""

from __future__ import annotations

from datetime import datetime
from enum import StrEnum

from msgspec import Struct


class WaitKind(StrEnum):
    """What a step waits for."""

    TIMER = "timer"
    SIGNAL = "signal"
    SAGA = "saga"
    ITEMS = "items"


class Wait(Struct, frozen=True, omit_defaults=True, gc=False):
    """What a step waits for, when it runs nothing."""

    kind: WaitKind
    target: str | None = None
    """The name of the signal, or the id of the saga."""
    due_at: datetime | None = None
    """When the timer comes due, or the step stops waiting; None: never."""
    approvals: int | None = None
    """How many actors have to approve; None: one signal ends the wait, and its payload is the result."""
    excluded: tuple[str, ...] = ()
    """The actors who may not approve."""


class Parent(Struct, frozen=True, gc=False):
    """The saga that started this one as one of its steps."""

    saga_id: str
    definition: str
    definition_version: int


class Failure(Struct, frozen=True, gc=False):
    """Why an attempt failed: the exception's type name, and its text."""

    type: str
    message: str
