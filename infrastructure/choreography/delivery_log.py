"""What is logged of an event that a service could not handle."""

from __future__ import annotations

import logging

from ...domain.saga.outcome import Failed
from ..event_store.event_row import StoredRow
from ..runtime.traceback_log import log_traceback

log = logging.getLogger(__name__)


def log_failed_delivery(
    service: str, row: StoredRow, attempt: int, failure: Failed, error: BaseException | None, *, parked: bool
) -> None:
    """Log that a service failed at an event, with the traceback: it tries again, or the event needs a person.

    Never raises, whatever the code of the exception does.
    """
    process_id = row.correlation_id or row.stream_id
    extra = {"saga_id": process_id, "service": service, "attempt": attempt, "error_type": failure.error.type}
    what = "service %s failed at %s, position %d, of %s, attempt %d (%s)"
    prospect = "it needs a person" if parked else "it is tried again"
    words = (service, row.topic, row.position, process_id, attempt, prospect)
    level = logging.ERROR if parked else logging.WARNING
    log_traceback(log, level, what, words, error, extra)
