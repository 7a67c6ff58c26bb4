"""The messages of the API about everything beside single sagas."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from msgspec import Struct

from .answers import PageAnswer, ViewAnswer


class InterventionRow(Struct, kw_only=True):
    """A step that needs a person, or did."""

    saga_id: str
    definition: str
    step: str
    direction: str
    cause: str
    status: str
    action: str | None
    actor: str | None
    reason: str | None
    required_at: datetime
    resolved_at: datetime | None
    times: int
    """How often the step has needed a person."""


class InterventionList(PageAnswer, kw_only=True):
    """A page of interventions, the oldest first."""

    interventions: list[InterventionRow]


class InterventionGroupRow(Struct):
    """Steps that need a person for one cause."""

    definition: str
    step: str
    direction: str
    cause: str
    count: int
    oldest: datetime


class InterventionGroups(ViewAnswer, kw_only=True):
    """Steps that need a person, by their cause; the largest groups first."""

    groups: list[InterventionGroupRow]


class ViewStatus(Struct, kw_only=True):
    """How far a view has folded the log."""

    view: str
    name: str
    """The name of its table."""
    generation: int
    version: int
    position: int
    lag_events: int
    status: str
    error: str | None
    stopped_at_position: int | None
    updated_at: datetime | None
    public: bool


class ViewList(Struct, kw_only=True):
    """The views of the ledger."""

    head_position: int
    views: list[ViewStatus]


class ServiceRow(Struct, kw_only=True):
    """How far a service of choreographies has handled the log."""

    service: str
    position: int
    lag_events: int
    retrying: int
    deferred: int
    parked: int
    reacts_to: list[str]


class ServiceList(Struct, kw_only=True):
    """The services of the server's app."""

    head_position: int
    services: list[ServiceRow]


class DeadLetterRow(Struct, kw_only=True):
    """An event that a service could not handle."""

    service: str
    position: int
    correlation_id: str
    event: str
    status: str
    attempts: int
    error: str | None
    retry_at: datetime | None
    behind: int | None
    failed_at: datetime
    updated_at: datetime


class DeadLetterList(PageAnswer, kw_only=True):
    """A page of dead letters, by position."""

    dead_letters: list[DeadLetterRow]


class ReplayAnswer(Struct, kw_only=True):
    """A decision that a service tries an event again."""

    service: str
    replayed_position: int
    position: int
    """Where the decision stands in the log."""


class WorkerRowAnswer(Struct, kw_only=True):
    """A worker with a lease."""

    worker: str
    host: str
    pid: int
    sagas: int
    started_at: datetime
    lease_until: datetime


class PutBackRow(Struct, kw_only=True):
    """A saga that a worker could not read, and left to others."""

    saga_id: str
    definition: str
    version: int
    due_at: datetime
    why: str | None


class WorkerList(Struct, kw_only=True):
    """The workers of the ledger."""

    workers: list[WorkerRowAnswer]
    put_back: list[PutBackRow]


class DefinitionAnswer(Struct, kw_only=True):
    """A version of a definition."""

    definition: str
    version: int
    state: str
    """`registered`, `not_registered` or `changed`."""
    fingerprint: str | None
    recorded_fingerprint: str | None
    unfinished: int
    sagas: int
    deadline_seconds: float | None = None
    steps: list[dict[str, Any]] | None = None
    """Of a version that the server's app has."""
    input: dict[str, Any] | None = None
    """The JSON schema of its input, if the server's app has it."""


class DefinitionList(ViewAnswer, kw_only=True):
    """Every version of every definition."""

    definitions: list[DefinitionAnswer]


class StartRequestRow(Struct, kw_only=True):
    """A saga that a program asked for in its own transaction, and that is not started."""

    request_id: int
    saga_id: str
    definition: str
    definition_version: int
    status: str
    requested_at: datetime
    begins_at: datetime | None
    actor: str | None
    refused_at: datetime | None
    reason: str | None


class StartRequestList(Struct, kw_only=True):
    """Start requests that are open or were refused, oldest first."""

    requests: list[StartRequestRow]


class ScheduleAnswer(Struct, kw_only=True):
    """What is recorded of a schedule."""

    schedule: str
    status: str
    """`active`, `paused`, or `not declared` by the server's app."""
    cron: str
    timezone: str
    saga: str
    saga_version: int
    overlap: str
    catch_up: str
    catch_up_seconds: float | None
    next_tick: datetime | None
    last_tick: datetime | None
    last_saga_id: str | None
    waiting: int
    started: int
    skipped: int
    decided_through: datetime | None
    declared_at: datetime | None
    paused_at: datetime | None
    paused_by: str | None
    pause_reason: str | None
    next_ticks: list[datetime] | None = None


class ScheduleList(Struct):
    """The schedules of the ledger."""

    schedules: list[ScheduleAnswer]


class ScheduleDecision(Struct, kw_only=True):
    """A decision about a schedule that is on record."""

    schedule: str
    position: int | None
    saga_id: str | None = None
    """Of a trigger: the id that the saga will have."""
    ticks: list[datetime] | None = None
    """Of a backfill: the ticks whose sagas start."""
