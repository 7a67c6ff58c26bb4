"""The settings of a worker: with which it could work."""

from __future__ import annotations

from typing import Any, Final

from ...domain.errors import InvalidInput
from ...domain.saga.duration import SECONDS_MAX

LEASE_SECONDS_MIN: Final = 0.01
"""A shorter lease ends before it can be used."""


def check_settings(concurrency: Any, threads: Any, lease_seconds: Any, drain_seconds: Any) -> None:
    """Raise `InvalidInput` for a number with which a worker could not work."""
    for name, count in (("concurrency", concurrency), ("threads", threads)):
        if not isinstance(count, int) or count < 1:
            raise InvalidInput(f"Worker({name}={count!r}): use a whole number, 1 or more")
    for name, seconds, least in (
        ("lease_seconds", lease_seconds, LEASE_SECONDS_MIN),
        ("drain_seconds", drain_seconds, 0),
    ):
        if not isinstance(seconds, (int, float)) or not least <= seconds <= SECONDS_MAX:  # NaN is not
            raise InvalidInput(f"Worker({name}={seconds!r}): use a number of seconds from {least:g} to {SECONDS_MAX:,}")
