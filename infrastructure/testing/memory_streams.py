"""The part of a log that a stream cache needs, in memory."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from datetime import datetime

from ..event_store.event_log import Snapshot
from ..event_store.event_row import NewEvent, StoredRow


class MemoryStreams:
    """Streams of events, without snapshots."""

    def __init__(self) -> None:
        self.rows: dict[str, list[StoredRow]] = defaultdict(list)
        self.position = 0

    def add(self, new: NewEvent, at: datetime) -> None:
        self.position += 1
        self.rows[new.stream_id].append(new.stored(self.position, at))

    def snapshots(self, _: Sequence[str]) -> list[Snapshot]:
        return []

    def put_snapshots(self, _: Sequence[Snapshot]) -> None:
        return

    def digests(self, _: Sequence[tuple[str, int]]) -> dict[str, bytes]:
        return {}

    def streams(self, after: Sequence[tuple[str, int]]) -> list[StoredRow]:
        return [row for stream_id, version in after for row in self.rows[stream_id] if row.version > version]
