"""What is logged of an outage: that it begins, a reminder now and then while it lasts, and that it has ended.

Many threads of a process meet the same outage, each many times. They share one of these, so that it is logged once.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from threading import Lock
from typing import Final

from ...domain.user_code import shown

log = logging.getLogger(__name__)

REMINDER_SECONDS: Final = 60.0
"""How often an outage that lasts is logged again; one that begins so soon after the last is not logged at once."""
BRIEF_SECONDS: Final = 1.0
"""One that begins so soon is logged if it lasts longer than this: what comes and goes would fill the log."""


class OutageLog:
    """Logs the outages of one thing, such as `the database`. Safe to share between threads.

    `errors`: by which errors a thread tells an outage from a failure of its own.
    """

    def __init__(self, what: str, monotonic: Callable[[], float], errors: tuple[type[Exception], ...] = ()) -> None:
        self.errors = errors
        self._what = what
        self._monotonic = monotonic
        self._lock = Lock()
        self._affected: set[str] = set()
        self._informed: dict[str, int] = {}
        """Which outage each part last met, or saw the end of."""
        self._number = 0
        """How many outages have ended."""
        self._began_at = 0.0
        self._told_at: float | None = None
        """When this outage was logged last; None if it was not."""
        self._ended_at: float | None = None
        """When the last outage ended that was logged."""
        self.is_open = False
        """Whether there is an outage."""

    def note(self, part: str, error: BaseException) -> None:
        """Note that a part of the program met the outage, and tries again."""
        now = self._monotonic()
        with self._lock:
            if not self.is_open:
                if self._informed.get(part, 0) < self._number:  # a connection of before the last outage: it is replaced
                    self._informed[part] = self._number
                    log.debug("%s: %s meets what is left of an outage: %s", self._what, part, shown(error))
                    return
                self.is_open, self._began_at, self._told_at = True, now, None
            self._affected.add(part)
            self._tell(now, part, error)

    def end(self, part: str) -> None:
        """Note that a part of the program could use the thing; that ends an outage which it met."""
        if part not in self._affected:
            return
        now = self._monotonic()
        with self._lock:
            if part not in self._affected:
                return
            self._affected.clear()
            self.is_open = False
            self._number += 1
            self._informed[part] = self._number
            if self._told_at is not None:
                self._ended_at = now
                seconds = now - self._began_at
                log.info("%s can be used again, after %.1f s", self._what, seconds, extra={"duration_seconds": seconds})

    def _tell(self, now: float, part: str, error: BaseException) -> None:
        seconds = now - self._began_at
        text, extra = shown(error), {"error_type": type(error).__name__}
        if self._told_at is None:
            is_recent = self._ended_at is not None and now - self._ended_at < REMINDER_SECONDS
            if not is_recent or seconds > BRIEF_SECONDS:
                self._told_at = now
                log.warning("%s cannot be used now, and is tried again: %s", self._what, text, extra=extra)
                return
        elif now - self._told_at >= REMINDER_SECONDS:
            self._told_at = now
            log.warning("%s cannot be used, for %.0f s now: %s", self._what, seconds, text, extra=extra)
            return
        log.debug("%s: %s tries again: %s", self._what, part, text, extra=extra)
