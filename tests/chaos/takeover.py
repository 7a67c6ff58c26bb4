"""How long the sagas of a killed worker wait until another worker has them."""

from __future__ import annotations

from math import ceil
from threading import Event, Lock, Thread
from time import monotonic
from typing import NamedTuple

import psycopg

POLL_SECONDS = 0.02
HELD = """
SELECT due.saga_id, due.worker_id FROM due JOIN workers USING (worker_id) WHERE workers.pid = %s
"""
STILL_HELD = """
SELECT wanted.saga_id FROM unnest(%s::text[], %s::text[]) AS wanted (saga_id, worker_id)
JOIN due USING (saga_id)
WHERE due.worker_id = wanted.worker_id OR (due.worker_id IS NULL AND due.due_at <= clock_timestamp())
"""


class Orphan(NamedTuple):
    """A saga whose worker was killed."""

    saga_id: str
    worker_id: str
    killed_at: float


class TakeOver(NamedTuple):
    """How long it waited, and whether something else was broken meanwhile."""

    seconds: float
    disturbed: bool


class TakeOvers:
    """Watches every orphan until another worker holds it, or it needs none any more."""

    def __init__(self, url: str) -> None:
        self._url = url
        self._orphans: list[Orphan] = []
        self._lock = Lock()
        self._disturbed_at = 0.0
        self._stop = Event()
        self._thread = Thread(target=self._watch, name="take-overs", daemon=True)
        self.seen: list[TakeOver] = []
        self._thread.start()

    def orphaned(self, pid: int) -> None:
        """A worker was killed just now. Does nothing while the database is away."""
        killed_at = monotonic()
        try:
            with psycopg.connect(self._url, autocommit=True) as connection:
                held = [Orphan(*row, killed_at) for row in connection.execute(HELD, (pid,))]
        except psycopg.OperationalError:
            return
        with self._lock:
            self._orphans += held

    def disturb(self) -> None:
        """Something else broke: what is still waiting is not measured by the promise."""
        self._disturbed_at = monotonic()

    def close(self) -> None:
        """Stop watching."""
        self._stop.set()
        self._thread.join()

    def p99_seconds(self) -> float | None:
        """The 99th percentile of the undisturbed ones; None if there were none."""
        times = sorted(seen.seconds for seen in self.seen if not seen.disturbed)
        return times[ceil(0.99 * len(times)) - 1] if times else None

    def _watch(self) -> None:
        while not self._stop.wait(POLL_SECONDS):
            if self._orphans:
                try:
                    with psycopg.connect(self._url, autocommit=True) as connection:
                        self._follow(connection)
                except psycopg.OperationalError:
                    self.disturb()

    def _follow(self, connection: psycopg.Connection) -> None:
        while self._orphans and not self._stop.wait(POLL_SECONDS):
            orphans = list(self._orphans)
            wanted = ([o.saga_id for o in orphans], [o.worker_id for o in orphans])
            waiting = {saga_id for (saga_id,) in connection.execute(STILL_HELD, wanted)}
            now = monotonic()
            taken = [orphan for orphan in orphans if orphan.saga_id not in waiting]
            self.seen += [TakeOver(now - o.killed_at, self._disturbed_at >= o.killed_at) for o in taken]
            with self._lock:
                self._orphans = [orphan for orphan in self._orphans if orphan not in taken]
