"""What a campaign leaves behind, read from where it stands."""

from __future__ import annotations

import sqlite3
from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import psycopg

from sagaledger import Ledger, RecordedEvent
from sagaledger.domain.saga.events import SagaStarted

from .client import Acknowledgement
from .fleet import Ended

READ_EVENTS = 5_000


class Effect(NamedTuple):
    """Something that the called service did."""

    key: str
    method: str
    kind: str
    reference: str


class Evidence(NamedTuple):
    """What a campaign leaves behind."""

    acknowledged: list[Acknowledgement]
    ended: list[Ended]
    """Workers that ended by themselves."""
    events: list[RecordedEvent]
    effects: list[Effect]
    """What the called service did, in order."""
    lease_ends: dict[tuple[str | None, int | None], int]
    """The position at which the log ended when a worker's lease did, by worker and epoch."""
    ledger: Ledger


def read_events(ledger: Ledger) -> Iterator[RecordedEvent]:
    """The whole log."""
    position = 0
    while rows := ledger.backend.read(position, limit=READ_EVENTS):
        yield from map(ledger.context.codec.decode, rows)
        position = rows[-1].position


def read_effects(courier_db: Path) -> list[Effect]:
    """What the called service has in its books."""
    connection = sqlite3.connect(courier_db)
    try:
        rows = connection.execute("SELECT key, method, kind, reference FROM effects ORDER BY number").fetchall()
    finally:
        connection.close()
    return [Effect(*row) for row in rows]


def read_lease_ends(url: str) -> dict[tuple[str | None, int | None], int]:
    """What the witness in the database noted."""
    with psycopg.connect(url) as connection:
        return {(worker, epoch): position for worker, epoch, position in connection.execute("TABLE witness.ended")}


def sagas_of(evidence: Evidence) -> dict[str, list[RecordedEvent]]:
    streams: defaultdict[str, list[RecordedEvent]] = defaultdict(list)
    for recorded in evidence.events:
        streams[recorded.stream_id].append(recorded)
    return {stream_id: facts for stream_id, facts in streams.items() if isinstance(facts[0].event, SagaStarted)}
