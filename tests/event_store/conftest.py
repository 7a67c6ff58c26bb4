"""What the tests of the ports share: a backend of each kind, and short ways to write events and calls."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from datetime import UTC, datetime
from uuid import UUID, uuid4

import pytest

from sagaledger.infrastructure.event_store.append_call import Append, AppendCall, CheckpointUpdate
from sagaledger.infrastructure.event_store.backend import Backend
from sagaledger.infrastructure.event_store.connect import open_backend
from sagaledger.infrastructure.event_store.event_row import NewEvent
from sagaledger.infrastructure.event_store.work_queue import FencingToken, QueueEntry

from ..memory_backend.backend import MemoryBackend

URLS = {"sqlite": "sqlite_url", "postgresql": "postgres_url", "pooled": "pooled_url"}
SOME_TIME = datetime(2020, 1, 1, tzinfo=UTC)


@pytest.fixture(params=["sqlite", "postgresql", "pooled", "memory"])
def backend(request: pytest.FixtureRequest) -> Iterator[Backend]:
    """An empty ledger, once for each backend there is, and for PostgreSQL behind PgBouncer.

    A test that takes it needs nothing but the port.
    """
    if request.param == "memory":
        yield MemoryBackend()
        return
    url = request.getfixturevalue(URLS[request.param])
    backend = open_backend(url, create=True)
    yield backend
    backend.close()


class Pen:
    """Writes events, appends and calls in few words."""

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
        return NewEvent.with_digest(stream_id, version, topic, 1, state, correlation_id, causation_position, meta)

    def events(self, stream_id: str, *versions: int) -> list[NewEvent]:
        return [self.event(stream_id, version) for version in versions]

    def append(self, stream_id: str, *versions: int) -> Append:
        return Append(self.events(stream_id, *versions))

    def call(
        self,
        *appends: Append,
        append_id: UUID | None = None,
        token: FencingToken | None = None,
        checkpoints: Sequence[CheckpointUpdate] = (),
    ) -> AppendCall:
        return AppendCall(append_id or uuid4(), appends, token, checkpoints)

    def entry(self, saga_id: str, *, at: datetime | None = SOME_TIME, worker_id: str | None = None) -> QueueEntry:
        return QueueEntry(saga_id, "trip", 1, at, worker_id)


@pytest.fixture
def pen() -> Pen:
    return Pen()
