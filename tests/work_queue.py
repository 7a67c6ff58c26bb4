"""Entries of the work queue, put there by tests without the saga that they are for."""

from __future__ import annotations

from collections.abc import Iterable
from uuid import uuid4

from sagaledger.infrastructure.event_store.append_call import Append, AppendCall
from sagaledger.infrastructure.event_store.event_log import EventLog
from sagaledger.infrastructure.event_store.work_queue import QueueEntry


def put_entries(log: EventLog, entries: Iterable[QueueEntry]) -> None:
    """Write entries by an append without events; one without a due time is removed."""
    log.append(AppendCall(uuid4(), [Append((), entry) for entry in entries]))


def remove_all_entries(log: EventLog, entries: Iterable[QueueEntry]) -> None:
    """Remove entries, as a person might by hand."""
    put_entries(log, [entry._replace(due_at=None) for entry in entries])
