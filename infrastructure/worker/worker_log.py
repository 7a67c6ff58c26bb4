"""What a worker logs of itself: that it starts, that it stops, and what it does not wait for."""

from __future__ import annotations

import logging

log = logging.getLogger(__name__)


def log_start(worker: str, concurrency: int, threads: int, lease_seconds: float) -> None:
    """Log that a worker has its lease, and begins."""
    what = "worker %s started: %d sagas at once, %d threads, a lease of %g s"
    log.info(what, worker, concurrency, threads, lease_seconds, extra={"worker": worker})


def log_end(worker: str) -> None:
    """Log that a worker has released everything."""
    log.info("worker %s stopped", worker, extra={"worker": worker})


def log_late(worker: str, steps: int, drain_seconds: float) -> None:
    """Log that a worker that stops waits for its steps no longer."""
    what = "%d steps still ran after %g seconds: their outcome counts as unknown"
    log.warning(what, steps, drain_seconds, extra={"worker": worker})
