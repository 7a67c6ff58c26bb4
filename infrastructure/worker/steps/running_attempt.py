"""An attempt that runs: what it tells of itself, from whichever thread it runs in, and what it is told."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from contextlib import suppress
from time import monotonic
from typing import Final

from msgspec import Raw

from ....domain.errors import AttemptCancelled
from ....domain.saga.events import FORWARD
from ..messages import AttemptEnded, AttemptProgressed, Dispatch

PROGRESS_SECONDS: Final = 5.0
"""An attempt records its progress at most once in so many seconds, and once more if it fails.

Each record is an event that the log keeps: an hour adds at most 720. If the worker dies, the next attempt repeats what
this one did in its last seconds, at most as many."""

_ENDED: Final = "the attempt has ended: nothing that it does from now on is recorded"

Notify = Callable[[AttemptEnded | AttemptProgressed], None]


class RunningAttempt:
    """Hears the heartbeats of one attempt; all but `heard` and `cancelled` is called on the event loop."""

    # Most attempts send no heartbeat: what only those change is here until then, and costs no attempt anything.
    heard_at = 0.0
    """When the attempt last gave a sign of life, by the monotonic clock."""
    on_silence: Callable[[], object] | None = None
    """Called once the attempt was ended because it was silent."""
    _unwanted: str | None = None
    """Why the attempt is no longer wanted."""
    _latest: Raw | None = None
    _recorded: Raw | None = None
    _record_from = 0.0
    """When the next progress may be recorded."""
    _is_due = False
    """Whether a progress will be recorded without a further heartbeat."""
    _timer: asyncio.TimerHandle | None = None
    _has_ended = False

    began = 0.0
    """When the attempt began, by the event loop's clock."""

    def __init__(self, dispatch: Dispatch, loop: asyncio.AbstractEventLoop, notify: Notify) -> None:
        self.dispatch = dispatch
        self._loop = loop
        self._notify = notify
        step, is_forward = dispatch.step, dispatch.attempt.direction is FORWARD
        self.heartbeat_timeout = step.heartbeat_timeout if is_forward else step.undo_heartbeat_timeout
        """How many seconds it may be silent."""

    # From the step, in any thread

    def heard(self, progress: Raw | None) -> None:
        """Note a sign of life, and what to record. Raises `AttemptCancelled` if the attempt is no longer wanted."""
        if self._unwanted is not None or self._has_ended:
            raise AttemptCancelled(self._unwanted or _ENDED)
        self.heard_at = monotonic()
        if progress is None:
            return
        self._latest = progress
        if not self._is_due:  # a progress that comes between these lines is recorded with this one, or after it
            self._is_due = True
            with suppress(RuntimeError):  # the event loop is closed, and the attempt with it
                self._loop.call_soon_threadsafe(self._record_when_allowed)

    @property
    def cancelled(self) -> bool:
        """Whether the attempt is no longer wanted."""
        return self._unwanted is not None or self._has_ended

    # On the event loop

    def cancel(self, why: str) -> None:
        """Tell the attempt that it is no longer wanted."""
        if self._unwanted is None:
            self._unwanted = why

    def end(self, *, succeeded: bool) -> None:
        """The attempt has an outcome: unless it succeeded, record what it told last, and nothing after that."""
        if self._latest is not None:
            if not succeeded:
                self._record()
            if self._timer is not None:
                self._timer.cancel()
        self._has_ended = True

    def fell_silent(self) -> None:
        """The attempt was ended because it sent no heartbeat."""
        if self.on_silence is not None:
            self.on_silence()

    def _record_when_allowed(self) -> None:
        wait_seconds = self._record_from - monotonic()
        if wait_seconds <= 0:
            self._record()
        elif not self._has_ended:
            self._timer = self._loop.call_later(wait_seconds, self._record)

    def _record(self) -> None:
        self._is_due = False
        latest, recorded = self._latest, self._recorded
        if self._has_ended or latest is None or (recorded is not None and bytes(latest) == bytes(recorded)):
            return
        self._recorded = latest
        self._record_from = monotonic() + PROGRESS_SECONDS
        dispatch = self.dispatch
        self._notify(AttemptProgressed(dispatch.saga, dispatch.attempt, latest))
