"""The messages that the API answers with."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from msgspec import Struct


class ViewAnswer(Struct, kw_only=True):
    """An answer from a view, and how far the view has folded the log."""

    as_of_position: int
    """Everything up to this position of the log is in the answer, and nothing after it."""
    head_position: int
    lag_events: int


class PageAnswer(ViewAnswer, kw_only=True):
    """A page from a view."""

    next: str | None
    """The cursor of the next page, for `after`; null if this is the last one. The header Link has its URL."""


class SagaRow(Struct, kw_only=True):
    """A saga as the view `sagas` has it."""

    saga_id: str
    definition: str
    version: int
    style: str
    status: str
    started_at: datetime
    updated_at: datetime
    ended_at: datetime | None = None
    current_step: str | None = None
    failed_step: str | None = None
    error: str | None = None
    events: int
    deadline: datetime | None = None
    begins_at: datetime | None = None
    stalls_at: datetime | None = None
    findings: int = 0


class SagaList(PageAnswer, kw_only=True):
    """A page of sagas, newest first."""

    sagas: list[SagaRow]


class SagaCountsAnswer(ViewAnswer, kw_only=True):
    """How many sagas there are of each status."""

    counts: dict[str, int]
    capped: bool
    """There are more than were counted."""


class AttemptRow(Struct, kw_only=True):
    """One attempt of a step, as the view `saga_steps` has it."""

    step: str
    direction: str
    attempt: int
    status: str
    started_at: datetime
    ended_at: datetime | None = None
    retry_at: datetime | None = None
    waits_for: str | None = None
    waits_until: datetime | None = None
    approvals: int | None = None
    approvals_needed: int | None = None
    approved_by: str | None = None
    error: str | None = None
    worker: str | None = None
    idempotency_key: str


class DeliveryAnswer(Struct):
    """An event that a service could not handle."""

    service: str
    position: int


class AllowedAction(Struct):
    """Something that can be done to a saga as it is now."""

    action: str
    """`retry`, `skip`, `resolve`, `abandon`, `approve`, `refuse`, `replay` or `cancel`."""
    why: str
    """What calls for it."""
    step: str | None
    delivery: DeliveryAnswer | None


class SagaAnswer(Struct, kw_only=True):
    """A saga: its state, every attempt of its steps, and what can be done about it."""

    saga_id: str
    status: str
    version: int
    definition: str
    definition_version: int
    fingerprint: str = ""
    style: str
    input: Any = None
    started_at: datetime | None = None
    started_by: str | None = None
    updated_at: datetime | None = None
    ended_at: datetime | None = None
    deadline: datetime | None = None
    begins_at: datetime | None = None
    parent: dict[str, Any] | None = None
    deadline_exceeded: bool = False
    cancelled: bool = False
    past_pivot: bool = False
    steps: dict[str, Any] = {}
    """Each step's progress, forward and in compensation, by its name."""
    items: dict[str, Any] = {}
    interventions: list[dict[str, Any]] = []
    """The steps that need a person now."""
    signals: dict[str, Any] = {}
    """The signals that no step has taken yet, by name."""
    end: str | None = None
    result: Any = None
    cause: str | None = None
    attempts: list[AttemptRow] = []
    allowed: list[AllowedAction] = []
    attributes: dict[str, list[str]] = {}
    """The values by which the saga is found."""
    choreography: dict[str, Any] | None = None
    """Of a choreographed saga: which service it waits for, and what that could not handle."""
    unattended: bool = False
    """The saga could go on, and no worker is there to move it."""


class EventAnswer(Struct, kw_only=True):
    """A recorded event."""

    position: int
    stream_id: str
    version: int
    event: str
    """The stored name of its type."""
    schema_version: int
    recorded_at: datetime
    correlation_id: str
    causation_position: int | None
    meta: dict[str, Any]
    """Who and what wrote it."""
    data: Any


class HistoryAnswer(Struct, kw_only=True):
    """What was recorded of a saga, in order."""

    saga_id: str
    status: str | None
    events: list[EventAnswer]
    next: str | None


class FieldChange(Struct):
    """A field that differs between two states."""

    field: str
    before: Any
    after: Any


class DiffSide(Struct):
    """One of the states that were compared."""

    version: int
    status: str


class DiffAnswer(Struct, kw_only=True):
    """What changed in a saga between two moments."""

    saga_id: str
    a: DiffSide
    b: DiffSide
    events: list[EventAnswer]
    changes: list[FieldChange]


class CauseNode(Struct):
    """An event in the graph of causes."""

    position: int
    stream_id: str
    event: str
    recorded_at: datetime


class CauseLink(Struct):
    """One event led to another: positions."""

    cause: int
    effect: int


class CausesAnswer(Struct, kw_only=True):
    """What led to what in a saga."""

    saga_id: str
    nodes: list[CauseNode]
    edges: list[CauseLink]


class RowsOfView(Struct, kw_only=True):
    """Rows of one view, as of a position."""

    view: str
    as_of_position: int
    rows: list[dict[str, Any]]


class SagaViewsAnswer(Struct, kw_only=True):
    """The rows that views have of one saga."""

    saga_id: str
    views: list[RowsOfView]


class RowsAnswer(PageAnswer, kw_only=True):
    """A page of rows of a view; the columns depend on the view."""

    view: str
    rows: list[dict[str, Any]]


class StartedAnswer(Struct):
    """A saga that was started, now or before."""

    saga_id: str
    position: int
    """Where its start stands in the log: pass it as `wait_for` to read it."""
    created: bool
    """False: the same saga, with the same input, was there already."""


class BatchItem(Struct, omit_defaults=True):
    """What became of one start of a batch."""

    saga_id: str | None = None
    position: int | None = None
    created: bool | None = None
    problem: str | None = None
    """The type of the problem that kept it from starting."""
    detail: str | None = None


class BatchAnswer(Struct):
    """What became of each start of a batch, in order."""

    items: list[BatchItem]
    started: int
    failed: int


class RecordedAnswer(Struct):
    """A decision that is on record; a worker or a service acts on it."""

    saga_id: str
    position: int
    """Where it stands in the log: pass it as `wait_for` to read what follows."""
