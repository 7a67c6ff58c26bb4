"""A saga about to be started: its id, its canonical input, and the append that starts it."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Any, NamedTuple
from uuid import uuid4

from msgspec import Raw

from ...domain.errors import InvalidInput
from ...domain.participant import Command
from ...domain.recorded_event import Meta, RecordedEvent
from ...domain.saga.definition import Definition
from ...domain.saga.events import Parent, SagaStarted
from ..errors import SagaConflict
from ..event_store.port import Append, QueueEntry
from .stream_cache import StreamCache


class Started(NamedTuple):
    """A saga that was started, now or before."""

    saga_id: str
    position: int
    """Where its start stands in the log: pass it to `query(wait_for=…)` to read it."""
    created: bool
    """False: the same saga, with the same input, was already there."""


class SagaStart(NamedTuple):
    """A saga about to be started: its id and its canonical input."""

    saga_id: str
    definition: Definition
    input: Raw
    begins_at: datetime | None = None
    parent: Parent | None = None

    @classmethod
    def of(
        cls,
        definition: Definition,
        value: Any,
        key: str | None,
        *,
        begins_at: datetime | None = None,
        parent: Parent | None = None,
    ) -> SagaStart:
        """Raises `InvalidInput` when the input does not fit its type, or the key cannot be part of an id."""
        raw = definition.write_input(value)
        if key is None:
            key = definition.key(definition.read_input(raw)) if definition.key is not None else uuid4().hex
        if not key or not key.isprintable() or len(key) > 200:
            raise InvalidInput(f"saga {definition.name!r}: the key {key!r} must be 1 to 200 printable characters")
        return cls(definition.saga_id(key), definition, raw, begins_at, parent)

    def draft(self, stream_cache: StreamCache, meta: Meta, at: datetime) -> Append:
        """The append that starts it, with what its participants record at that moment; nobody holds it yet."""
        draft = stream_cache.draft(self.saga_id, meta)
        draft.fact(1, self.fact(at))
        draft.handle(self.commands(), at, beginning=True)
        return draft.append(self.due(at, None))

    def fact(self, at: datetime) -> SagaStarted:
        """The fact that it starts."""
        definition = self.definition
        begins_at = at if self.begins_at is None else max(at, self.begins_at)
        deadline = None if definition.deadline is None else begins_at + timedelta(seconds=definition.deadline)
        return SagaStarted(
            at,
            definition.name,
            definition.version,
            definition.fingerprint,
            self.input,
            deadline,
            self.begins_at,
            self.parent,
        )

    def due(self, at: datetime, worker_id: str | None) -> QueueEntry:
        """Its entry in the due work."""
        due_at = at if self.begins_at is None else max(at, self.begins_at)
        return QueueEntry(self.saga_id, self.definition.name, self.definition.version, due_at, worker_id)

    def commands(self) -> Sequence[Command]:
        """What its participants are told when it starts."""
        started = self.definition.started
        return () if started is None else started(self.definition.read_input(self.input))

    def already(self, recorded: Sequence[RecordedEvent]) -> Started:
        """The saga that is there under this id. Raises `SagaConflict` if it was started with another input."""
        first = recorded[0]
        assert isinstance(first.event, SagaStarted)  # noqa: S101 -- every saga's stream begins so
        if bytes(first.event.input) != bytes(self.input):
            raise SagaConflict(
                f"saga {self.saga_id!r} was started with another input at {first.recorded_at.isoformat()}: "
                f"use another key, or see `sagaledger show {self.saga_id}`"
            )
        return Started(self.saga_id, first.position, created=False)
