"""A ledger in memory: a backend written from the port alone, as a third party would write one.

It uses nothing of the SQL backends but the SQLite view store. Outcomes follow from the shared `conflict_rules`, and
times from the clock that it is given. It is as durable as the process, and any thread may use it.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Callable
from datetime import UTC, datetime
from functools import cached_property
from threading import RLock

from sagaledger.infrastructure.errors import NotSupported
from sagaledger.infrastructure.event_store.append_call import AppendCall, Appended, CompletedAppend, Receipt, check_size
from sagaledger.infrastructure.event_store.conflict_rules import decide
from sagaledger.infrastructure.event_store.definition_registry import Structures
from sagaledger.infrastructure.event_store.instants import microseconds
from sagaledger.infrastructure.event_store.sqlite.view_store import SqliteViewStore

from .event_log import MemoryEventLog
from .work_queue import MemoryWorkQueue


def system_time() -> datetime:
    return datetime.now(UTC)


def _open_memory_database() -> sqlite3.Connection:
    return sqlite3.connect(":memory:", isolation_level=None, check_same_thread=False)


class MemoryBackend(MemoryEventLog, MemoryWorkQueue):
    """A ledger in memory (the port `Backend` says what each method promises); its views are in a SQLite database."""

    start_requests = None
    """No other program has transactions here."""
    writes_meanwhile = False
    name = "memory"

    def __init__(self, now: Callable[[], datetime] = system_time) -> None:
        lock = RLock()  # one for all: no lease may end between its check and the end of an append
        MemoryEventLog.__init__(self, lock)
        MemoryWorkQueue.__init__(self, now, lock)
        self._fingerprints: dict[tuple[str, int], str] = {}
        self._structures: dict[tuple[str, int], dict[str, str]] = {}

    @cached_property
    def views(self) -> SqliteViewStore:
        return SqliteViewStore(_open_memory_database, self.name, connections_max=1)

    @property
    def url(self) -> str:
        raise NotSupported("a ledger in memory is of this process alone: use a sqlite:// or postgresql:// ledger")

    def close(self) -> None:
        """Release the connection of the views, if they were ever asked for."""
        if "views" in vars(self):
            self.views.close()

    def append(self, call: AppendCall) -> Receipt:
        check_size(call)
        with self._grown:
            receipt = self._recall(call) or self._append(call)
            self._grown.notify_all()
        return receipt

    def send(self, call: AppendCall) -> CompletedAppend:
        return CompletedAppend(self.append(call))

    def schema_problems(self) -> list[str]:
        """Return none: there is no schema."""
        return []

    def fingerprints(self) -> dict[tuple[str, int], str]:
        return dict(self._fingerprints)

    def record_fingerprint(self, name: str, version: int, fingerprint: str) -> str:
        return self._fingerprints.setdefault((name, version), fingerprint)

    def structures(self) -> Structures:
        return {key: dict(recorded) for key, recorded in self._structures.items()}

    def record_structure(self, name: str, version: int, fingerprint: str, structure: str) -> None:
        self._structures.setdefault((name, version), {}).setdefault(fingerprint, structure)

    def _append(self, call: AppendCall) -> Receipt:
        if call.token is not None:
            self._check_lease(call.token)
        self._check_checkpoints(call)
        now = max(self._now(), self._head.recorded_at or self._now())
        outcomes = decide(call.appends, self._stream_ends(call.appends), self._head.position)
        accepted = [a for a, outcome in zip(call.appends, outcomes, strict=True) if isinstance(outcome, Appended)]
        if accepted or not call.appends:
            self._write_events(call.append_id, [new for append in accepted for new in append.events], now)
            self._write_entries(accepted, now)
            self._write_checkpoints(call)
        return Receipt(outcomes, microseconds(now))
