"""How often a step is tried, how long it waits between attempts, and what follows an attempt of unknown outcome."""

from __future__ import annotations

import hashlib
from enum import StrEnum

from msgspec import Struct

from ..errors import DefinitionError


class Retry(Struct, frozen=True):
    """How often a step is tried, and how long it waits between attempts.

    The wait before attempt n + 1 is `backoff_seconds * multiplier ** (n - 1)`, at most `backoff_seconds_max`, varied
    by up to the fraction `jitter`. The variation depends on the idempotency key and the attempt alone.
    """

    attempts: int = 3
    backoff_seconds: float = 0.2
    multiplier: float = 2.0
    backoff_seconds_max: float = 60.0
    jitter: float = 0.2

    def __post_init__(self) -> None:
        if self.attempts < 1:
            raise DefinitionError(f"Retry(attempts={self.attempts}): a step runs at least once, so use 1 or more")
        if self.backoff_seconds < 0 or self.backoff_seconds_max < 0 or self.multiplier < 1:
            raise DefinitionError("Retry: waits are 0 seconds or more, and the multiplier is 1 or more")
        if not 0 <= self.jitter <= 1:
            raise DefinitionError(f"Retry(jitter={self.jitter}): use a fraction from 0 to 1")

    def delay_seconds(self, key: str, attempt: int) -> float:
        """Returns how long to wait after this attempt failed: the same for the same key and attempt."""
        exponent = min(attempt - 1, 64)
        delay = min(self.backoff_seconds * self.multiplier**exponent, self.backoff_seconds_max)
        drawn = int.from_bytes(hashlib.sha256(f"{key}:{attempt}".encode()).digest()[:8], "big") / 2**64
        return delay * (1 + self.jitter * (2 * drawn - 1))


class OnUnknown(StrEnum):
    """What follows an attempt whose worker died before it recorded an outcome."""

    RETRY = "retry"
    COMPENSATE = "compensate"
