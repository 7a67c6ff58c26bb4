"""Attempts are spread around their time, earlier as well as later, and the same way each time."""

from __future__ import annotations

from statistics import fmean

import pytest

from sagaledger.domain.saga.retry_policy import Retry


@pytest.mark.parametrize("jitter", [0.1, 0.5, 1.0])
def test_jitter_spreads_attempts_evenly_around_their_time(jitter: float) -> None:
    """Within its fraction in both directions; on average the wait is the one that was asked for."""
    policy = Retry(backoff_seconds=10.0, multiplier=1.0, jitter=jitter)
    shares = [(policy.delay_seconds(f"key{number}", 1) / 10.0 - 1) / jitter for number in range(2_000)]

    assert all(-1 <= share <= 1 for share in shares)
    assert min(shares) < -0.95
    assert max(shares) > 0.95
    assert abs(fmean(shares)) < 0.05
    assert abs(fmean(share < 0 for share in shares) - 0.5) < 0.05


def test_without_jitter_an_attempt_waits_exactly_its_time() -> None:
    """Whatever its key."""
    policy = Retry(backoff_seconds=3.0, multiplier=2.0, backoff_seconds_max=7.0, jitter=0.0)

    assert [policy.delay_seconds(key, attempt) for key in "ab" for attempt in (1, 2, 3)] == [3.0, 6.0, 7.0] * 2
