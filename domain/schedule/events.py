"""The events of a schedule: what was declared, what became of each tick, and what people decided.

A tick is an instant (UTC) at which a schedule starts a saga.
"""

from __future__ import annotations

from datetime import datetime
from enum import StrEnum

from msgspec import Struct

from ..event import Event, event


class Overlap(StrEnum):
    """What becomes of a tick while the saga of an earlier tick still runs."""

    SKIP = "skip"
    QUEUE = "queue"
    """It starts once the earlier one has ended; ticks wait in order."""
    ALLOW = "allow"


class CatchUp(StrEnum):
    """Which of the ticks start that no worker saw in time."""

    NONE = "none"
    LATEST = "latest"
    ALL = "all"
    WITHIN = "within"
    """Those that are no older than a number of seconds."""


class TickCause(StrEnum):
    """Why a tick is due."""

    TIMETABLE = "timetable"
    TRIGGER = "trigger"
    BACKFILL = "backfill"


class SkipCause(StrEnum):
    """Why a tick started no saga."""

    OVERLAP = "overlap"
    """The saga of an earlier tick still ran."""
    MISSED = "missed"
    """No worker ran in time, and the schedule does not catch up on it."""
    QUEUE_FULL = "queue_full"
    CHANGED = "changed"
    """The schedule's times were changed before a worker saw the tick."""
    EXISTS = "exists"
    """The saga with the id of this tick was there already."""
    FAILED = "failed"
    """The saga could not be started: its input could not be made, or a participant refused."""


class DeclaredSchedule(Struct, frozen=True, omit_defaults=True):
    """A schedule as an app declares it."""

    cron: str
    timezone: str
    saga: str
    saga_version: int
    overlap: Overlap = Overlap.SKIP
    catch_up: CatchUp = CatchUp.LATEST
    catch_up_seconds: float | None = None


@event("ScheduleListed")
class ScheduleListed(Event, frozen=True):
    """The ledger has a schedule of this name from now on."""

    schedule: str


@event("ScheduleDeclared")
class ScheduleDeclared(Event, frozen=True):
    """A worker began with an app that declares the schedule so, for the first time or otherwise than before."""

    schedule: str
    declaration: DeclaredSchedule


@event("ScheduleTickStarted")
class ScheduleTickStarted(Event, frozen=True):
    """A tick started a saga. This event and the saga's start are one append."""

    schedule: str
    tick: datetime
    saga_id: str
    cause: TickCause = TickCause.TIMETABLE
    number: int | None = None
    """The number of the trigger, if it is one."""


@event("ScheduleTickQueued")
class ScheduleTickQueued(Event, frozen=True):
    """A tick waits until the saga of an earlier one has ended."""

    schedule: str
    tick: datetime
    behind: str
    """The id of that saga."""


@event("ScheduleTicksSkipped")
class ScheduleTicksSkipped(Event, frozen=True):
    """One tick, or several in a row, started no saga."""

    schedule: str
    first: datetime
    last: datetime
    ticks: int
    """How many were counted."""
    why: SkipCause
    detail: str | None = None
    cause: TickCause = TickCause.TIMETABLE
    number: int | None = None
    more: bool = False
    """Whether there were others before `first`, which were not counted."""


@event("ScheduleSetBack")
class ScheduleSetBack(Event, frozen=True):
    """Ticks were decided whose time is far ahead by this clock: they start after all if their time comes."""

    schedule: str
    decided_through: datetime
    """Up to where ticks were decided."""


@event("SchedulePaused")
class SchedulePaused(Event, frozen=True):
    """A person stopped the timetable: no tick of it starts until it is resumed."""

    schedule: str
    actor: str
    reason: str


@event("ScheduleResumed")
class ScheduleResumed(Event, frozen=True):
    """A person let the timetable go on. The ticks of the pause do not start."""

    schedule: str
    actor: str
    reason: str


@event("ScheduleTriggered")
class ScheduleTriggered(Event, frozen=True):
    """A person asked for one saga now, beside the timetable."""

    schedule: str
    number: int
    """Triggers of a schedule are numbered from 1."""
    actor: str
    reason: str


@event("ScheduleBackfilled")
class ScheduleBackfilled(Event, frozen=True):
    """A person asked for the sagas of ticks that are past."""

    schedule: str
    ticks: tuple[datetime, ...]
    actor: str
    reason: str


SCHEDULE_EVENTS: tuple[type[Event], ...] = (
    ScheduleDeclared,
    ScheduleTickStarted,
    ScheduleTickQueued,
    ScheduleTicksSkipped,
    ScheduleSetBack,
    SchedulePaused,
    ScheduleResumed,
    ScheduleTriggered,
    ScheduleBackfilled,
)
"""The events of a schedule's own stream."""
