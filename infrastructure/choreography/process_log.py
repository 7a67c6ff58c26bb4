"""Chronicles: what the log has of a process, and which of it a service has handled."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Iterable, Sequence
from functools import lru_cache

import msgspec

from ...domain.recorded_event import Meta
from ..event_store.event_log import EventLog
from ..event_store.event_row import StoredRow

ROWS_CACHED_MAX = 40_000


class ProcessLog:
    """The events of one process, and which of them a service has handled: each of those left a trace."""

    def __init__(self, rows: Sequence[StoredRow], service: str) -> None:
        self.rows = rows
        self._own = {row.position for row in rows if _worker_of(row.meta) == service}
        self.handled = {row.causation_position for row in rows if row.position in self._own}

    def at(self, position: int) -> StoredRow | None:
        """The event of the process at a position."""
        return next((row for row in self.rows if row.position == position), None)

    def known_at(self, row: StoredRow, *, is_letter: bool) -> Iterable[StoredRow]:
        """What the service knows when an event reaches it: all before it, and whatever it did itself.

        One that had to wait reaches it late: meanwhile the process went on, and all of that is known.
        """
        if is_letter:
            return self.rows
        return (other for other in self.rows if other.position < row.position or other.position in self._own)


class ProcessLogReader:
    """Reads processes from the log, of each only what is new since it was last read. Belongs to one thread.

    The log only grows, and in order: so what was read of a process once stays true.
    """

    def __init__(self, log: EventLog) -> None:
        self._log = log
        self._read: OrderedDict[str, tuple[StoredRow, ...]] = OrderedDict()
        self._rows_cached = 0

    def of(self, process_id: str, service: str) -> ProcessLog:
        """A process as the log has it now, as a service sees it. Raises `Unavailable`."""
        known = self._read.get(process_id, ())
        rows = (*known, *self._log.correlated(process_id, after=known[-1].position if known else 0))
        self._read[process_id] = rows
        self._read.move_to_end(process_id)
        self._rows_cached += len(rows) - len(known)
        while self._rows_cached > ROWS_CACHED_MAX:
            _, dropped = self._read.popitem(last=False)
            self._rows_cached -= len(dropped)
        return ProcessLog(rows, service)


@lru_cache(maxsize=4096)
def _worker_of(meta: str) -> str | None:
    return msgspec.json.decode(meta, type=Meta).worker
