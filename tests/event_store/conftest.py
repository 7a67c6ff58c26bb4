"""What the tests of the log write: small events, whole calls."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime
from uuid import UUID, uuid4

import pytest

from sagaledger.infrastructure.event_store.hash_chain import digest
from sagaledger.infrastructure.event_store.port import (
    Append,
    AppendCall,
    CheckpointUpdate,
    FencingToken,
    NewEvent,
    QueueEntry,
)

SOME_TIME = datetime(2020, 1, 1, tzinfo=UTC)


class Pen:
    """Writes events, appends and calls with as little ceremony as a test can read."""

    def event(
        self,
        stream_id: str,
        version: int,
        state: bytes = b"{}",
        *,
        topic: str = "Happened",
        correlation_id: str | None = None,
        causation_position: int | None = None,
        meta: str = "{}",
    ) -> NewEvent:
        columns = (stream_id, version, topic, 1, state, correlation_id, causation_position, meta)
        return NewEvent(*columns, digest(*columns))

    def events(self, stream_id: str, *versions: int) -> list[NewEvent]:
        return [self.event(stream_id, version) for version in versions]

    def append(self, stream_id: str, *versions: int) -> Append:
        return Append(self.events(stream_id, *versions))

    def call(
        self,
        *appends: Append,
        append_id: UUID | None = None,
        epoch: FencingToken | None = None,
        advances: Sequence[CheckpointUpdate] = (),
    ) -> AppendCall:
        return AppendCall(append_id or uuid4(), appends, epoch, advances)

    def due(self, saga_id: str, *, at: datetime | None = SOME_TIME, worker_id: str | None = None) -> QueueEntry:
        return QueueEntry(saga_id, "trip", 1, at, worker_id)


@pytest.fixture
def pen() -> Pen:
    return Pen()
