"""An append call through psycopg as it comes: the plain twin of `postgres/append.py`, `wire_format.py` and `send`."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import psycopg
from msgspec.structs import astuple

from sagaledger.infrastructure.event_store.append_call import AppendCall, Receipt
from sagaledger.infrastructure.event_store.postgres.append import receipt
from sagaledger.infrastructure.event_store.work_queue import QueueEntry

TYPES = (
    "uuid", "text", "bigint", "integer[]", "boolean", "text[]", "bigint[]",
    "text[]", "bigint[]", "text[]", "integer[]", "bytea[]", "bigint[]", "text[]", "bytea",
    "integer[]", "text[]", "text[]", "integer[]", "timestamptz[]", "text[]",
    "text[]",
    "integer[]", "text[]", "text[]", "integer[]",
    "text[]", "bigint[]", "bigint[]",
)  # fmt: skip
STATEMENT = f"SELECT append_events({', '.join(f'%s::{type_}' for type_ in TYPES)})"


def append(connection: psycopg.Connection[Any], call: AppendCall) -> Receipt:
    """Append a call that was not written before. Raises what `EventLog.append` raises for the whole call."""
    row = connection.execute(STATEMENT, parameters(call), prepare=True, binary=True).fetchone()
    assert row is not None
    return receipt(call, row[0])


def parameters(call: AppendCall) -> list[Any]:
    """Return the arguments of `append_events` as ordinary Python values."""
    events = [new for append in call.appends for new in append.events]
    streams, versions, topics, schema_versions, states, correlations, causations, metas, digests = columns(
        [astuple(new) for new in events], 9
    )
    first_versions: dict[str, int] = {}
    for new in events:
        first_versions.setdefault(new.stream_id, new.version)
    entries = [(number, append.queue_entry) for number, append in enumerate(call.appends, 1) if append.queue_entry]
    notified = [(number, entry) for number, append in enumerate(call.appends, 1) for entry in append.notify]
    worker_id, epoch = call.token or (None, None)
    return [
        call.append_id, worker_id, epoch,
        [len(append.events) for append in call.appends], contradicts_itself(call),
        list(first_versions), list(first_versions.values()),
        streams, versions, topics, schema_versions, states, causations, metas, b"".join(digests),
        *ordinals_and_columns(entries),
        correlations,
        *ordinals_and_columns(notified)[:4],
        *columns(call.checkpoints, 3),
    ]  # fmt: skip


def contradicts_itself(call: AppendCall) -> bool:
    """Return whether an event does not follow the one before it in its stream."""
    ends: dict[str, int] = {}
    for append in call.appends:
        for new in append.events:
            if ends.get(new.stream_id, new.version - 1) != new.version - 1:
                return True
            ends[new.stream_id] = new.version
    return False


def ordinals_and_columns(entries: Sequence[tuple[int, QueueEntry]]) -> list[list[Any]]:
    return columns([(number, *entry) for number, entry in entries], 6)


def columns(rows: Sequence[Sequence[Any]], width: int) -> list[list[Any]]:
    return [list(column) for column in zip(*rows, strict=True)] or [[] for _ in range(width)]
