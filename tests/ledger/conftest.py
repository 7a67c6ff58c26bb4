"""Ledgers on both databases, with sagas whose facts the tests write or leave to a worker."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from sagaledger.infrastructure.ledger.ledger import Ledger

from .trip import APP


@pytest.fixture
def ledger(url: str) -> Iterator[Ledger]:
    """An empty ledger that knows trips."""
    with Ledger.open(url, APP, create=True) as opened:
        yield opened
