"""Process logs: the events of one process, and which of them a service has handled."""

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
    """The events of one process, and which of them a service has handled.

    A service records at least one event about every event that it handles, so the log itself shows what was handled.
    """

    def __init__(self, rows: Sequence[StoredRow], service: str) -> None:
        self.rows = rows
        self._own = {row.position for row in rows if _worker_of(row.meta) == service}
        self.handled = {row.causation_position for row in rows if row.position in self._own}

    def at(self, position: int) -> StoredRow | None:
        """Returns the event of the process at a position of the log, None if another process has that position."""
        return next((row for row in self.rows if row.position == position), None)

    def unhandled(self, upto: int) -> Iterable[StoredRow]:
        """Returns the events up to a position that the service has not handled, whether they concern it or not."""
        return (row for row in self.rows if row.position <= upto and row.position not in self.handled)

    def known_at(self, row: StoredRow, *, is_dead_letter: bool) -> Iterable[StoredRow]:
        """Returns what the service knows when an event reaches it: every earlier event, and all of its own.

        A dead letter reaches the service late. The process has gone on since, and the service knows all of it.
        """
        if is_dead_letter:
            return self.rows
        return (other for other in self.rows if other.position < row.position or other.position in self._own)


class ProcessLogReader:
    """Reads processes, each time only the events since the last read. Belongs to one thread.

    The log only grows, so the events that were read before stay true.
    """

    def __init__(self, log: EventLog) -> None:
        self._log = log
        self._read: OrderedDict[str, tuple[StoredRow, ...]] = OrderedDict()
        self._rows_cached = 0

    def read(self, process_id: str, service: str) -> ProcessLog:
        """Returns a process up to the head of the log, as a service sees it. Raises `Unavailable`."""
        known = self._read.get(process_id, ())
        rows = (*known, *self._log.correlated(process_id, after=known[-1].position if known else 0))
        self._read[process_id] = rows
        self._read.move_to_end(process_id)
        self._rows_cached += len(rows) - len(known)
        while self._rows_cached > ROWS_CACHED_MAX:
            _, dropped = self._read.popitem(last=False)
            self._rows_cached -= len(dropped)
        return ProcessLog(rows, service)


def traceparent_of(row: StoredRow) -> str | None:
    """Returns the trace context of what wrote an event; None if it belongs to no trace."""
    return msgspec.json.decode(row.meta, type=Meta).traceparent if '"traceparent"' in row.meta else None


@lru_cache(maxsize=4096)
def _worker_of(meta: str) -> str | None:
    return msgspec.json.decode(meta, type=Meta).worker
