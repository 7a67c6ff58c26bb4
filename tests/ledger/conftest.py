"""Ledgers on both databases, with sagas whose facts the tests write or leave to a worker."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from sagaledger.infrastructure.ledger.ledger import Ledger

from ..prepared_ledgers import Create, create_ledger
from .trip import APP


@pytest.fixture(scope="session")
def created_by() -> Create:
    """What creates ledgers with the views of sagas: no test here is about their creation."""
    return create_ledger


@pytest.fixture
def ledger(url: str) -> Iterator[Ledger]:
    """An empty ledger that knows trips."""
    with Ledger.open(url, APP, create=True) as opened:
        yield opened
