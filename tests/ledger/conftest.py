"""Ledgers on both databases, with sagas whose facts the tests write or leave to a worker."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from sagaledger.infrastructure.ledger.ledger import Ledger

from ..prepared_ledgers import LendLedger, create_ledger
from .trip import APP


@pytest.fixture
def sqlite_url(lend_ledger: LendLedger) -> str:
    """The URL of an empty ledger in a file: no test here is about its creation."""
    return lend_ledger("sqlite", create_ledger)


@pytest.fixture
def postgres_url(lend_ledger: LendLedger) -> str:
    """The URL of an empty ledger in the server: no test here is about its creation."""
    return lend_ledger("postgresql", create_ledger)


@pytest.fixture
def ledger(url: str) -> Iterator[Ledger]:
    """An empty ledger that knows trips."""
    with Ledger.open(url, APP, create=True) as opened:
        yield opened
