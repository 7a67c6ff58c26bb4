"""A worker refuses numbers with which it could not work."""

from __future__ import annotations

from typing import Any

import pytest

from sagaledger import App, Ledger, Worker
from sagaledger.domain.errors import InvalidInput

NAN, INF = float("nan"), float("inf")


@pytest.mark.parametrize(
    ("name", "wrong"),
    [
        *(("concurrency", wrong) for wrong in (0, -1, 1.5, NAN, INF, "1", None)),
        *(("threads", wrong) for wrong in (0, -1, 1.5, NAN, "1", None)),
        *(("lease_seconds", wrong) for wrong in (0, -1, NAN, INF, 1e300, "1", None)),
        *(("drain_seconds", wrong) for wrong in (-1, NAN, INF, "1", None)),
    ],
)
def test_a_setting_without_sense_is_refused(sqlite_url: str, name: str, wrong: Any) -> None:
    """It would wait for ever, or fail where no one can see why."""
    with Ledger.open(sqlite_url, App(), create=True) as ledger, pytest.raises(InvalidInput, match=name):
        Worker(ledger, **{name: wrong})
