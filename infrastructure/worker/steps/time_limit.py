"""The time that an attempt may take: its timeout, and how long it may be silent."""

from __future__ import annotations

import asyncio
from time import monotonic
from types import TracebackType
from typing import Final, Self

from ....domain.errors import AttemptTimedOut, HeartbeatTimedOut
from .running_attempt import RunningAttempt

STALL_SECONDS: Final = 0.2
"""If the event loop is late by more than this, attempts that it kept from running get as much time again."""


class TimeLimit:
    """Cancels what runs in it once the timeout is over, or the attempt was silent for too long; an async context.

    Raises `AttemptTimedOut` then. A `TimeoutError` that what runs in it raises passes unchanged.
    """

    def __init__(self, timeout_seconds: float | None, attempt: RunningAttempt | None = None) -> None:
        self._timeout_seconds = timeout_seconds
        self._attempt = attempt
        self._silence_seconds = None if attempt is None else attempt.heartbeat_timeout
        self._limit = asyncio.timeout(timeout_seconds)
        self._loop = asyncio.get_running_loop()
        self._timer: asyncio.TimerHandle | None = None
        self._look_at = 0.0
        self._was_silent = False

    async def __aenter__(self) -> Self:
        await self._limit.__aenter__()
        if self._attempt is not None and self._silence_seconds is not None:
            self._attempt.heard_at = monotonic()
            self._look_in(self._silence_seconds)
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._timer is not None:
            self._timer.cancel()
        try:
            await self._limit.__aexit__(kind, error, trace)
        except TimeoutError:  # of this limit: what runs in it has raised its own before
            if self._was_silent:
                raise HeartbeatTimedOut(f"no heartbeat in {self._silence_seconds:g} s") from error
            raise AttemptTimedOut(f"no outcome in {self._timeout_seconds:g} s") from error

    def _look_in(self, seconds: float) -> None:
        self._look_at = monotonic() + seconds
        self._timer = self._loop.call_later(seconds, self._look)

    def _look(self) -> None:
        """End the attempt if it is silent; otherwise look again when it would have been for too long."""
        assert self._attempt is not None  # noqa: S101 -- only then a timer is set
        assert self._silence_seconds is not None  # noqa: S101 -- likewise
        now = monotonic()
        left = self._silence_seconds - (now - self._attempt.heard_at)
        late = now - self._look_at
        if left <= 0 and late > STALL_SECONDS:
            left = min(late, self._silence_seconds)
        if left > 0:
            self._look_in(left)
        elif not self._limit.expired():
            self._was_silent = True
            self._limit.reschedule(self._loop.time())
            self._attempt.fell_silent()
