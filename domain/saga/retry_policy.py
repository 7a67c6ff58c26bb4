"""How often a step is tried, how long it waits between attempts, and what follows an attempt of unknown outcome."""

from __future__ import annotations

import hashlib
from enum import StrEnum
from math import inf
from typing import Any, Final

from msgspec import Struct

from ..errors import DefinitionError
from .duration import SECONDS_MAX

MULTIPLIER_MAX: Final = 1e6
EXPONENT_MAX: Final = 64
DELAY_SECONDS_MAX: Final = 365 * 86_400.0
"""The longest wait between two attempts: without a limit, waits that multiply soon leave the calendar."""


class Retry(Struct, frozen=True):
    """How often a step is tried, and how long it waits between attempts.

    The wait before attempt n + 1 is `backoff_seconds * multiplier ** (n - 1)`, at most `backoff_seconds_max`, varied
    by up to the fraction `jitter`. The variation depends on the idempotency key and the attempt alone. Whatever is
    declared, no wait is longer than a year.
    """

    attempts: int = 3
    backoff_seconds: float = 0.2
    multiplier: float = 2.0
    backoff_seconds_max: float = 60.0
    jitter: float = 0.2

    def __post_init__(self) -> None:
        value: Any
        for name, value, least, most in (
            ("attempts", self.attempts, 1, inf),
            ("backoff_seconds", self.backoff_seconds, 0, SECONDS_MAX),
            ("multiplier", self.multiplier, 1, MULTIPLIER_MAX),
            ("backoff_seconds_max", self.backoff_seconds_max, 0, inf),
            ("jitter", self.jitter, 0, 1),
        ):
            if not isinstance(value, (int, float)) or not least <= value <= most:  # NaN is not
                raise DefinitionError(f"Retry({name}={value!r}): use a number from {least} to {most:g}")
        if self.attempts % 1:
            raise DefinitionError(f"Retry(attempts={self.attempts!r}): use a whole number, 1 or more")

    def delay_seconds(self, key: str, attempt: int) -> float:
        """Returns how long to wait after this attempt failed: the same for the same key and attempt."""
        longest = min(self.backoff_seconds_max, DELAY_SECONDS_MAX)
        exponent = min(attempt - 1, EXPONENT_MAX)
        try:
            delay = min(self.backoff_seconds * self.multiplier**exponent, longest)
        except OverflowError:
            delay = longest if self.backoff_seconds else 0.0
        drawn = int.from_bytes(hashlib.sha256(f"{key}:{attempt}".encode()).digest()[:8], "big") / 2**64
        return min(delay * (1 + self.jitter * (2 * drawn - 1)), DELAY_SECONDS_MAX)


def check_retry(retry: Any, what: str) -> None:
    """Raise `DefinitionError` unless this is a retry policy, or None."""
    if not isinstance(retry, Retry | None):
        raise DefinitionError(f"{what} is {retry!r}: use Retry(...)")


class OnUnknown(StrEnum):
    """What follows an attempt whose worker died before it recorded an outcome."""

    RETRY = "retry"
    COMPENSATE = "compensate"
