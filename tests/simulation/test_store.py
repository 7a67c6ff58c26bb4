"""The simulated store keeps the log's contract: the very tests that the real backends pass."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest

from sagaledger.infrastructure.event_store.port import Backend

from ..event_store import test_append as contract_of_append
from ..event_store import test_due_work as contract_of_due_work
from ..event_store import test_reading as contract_of_reading
from ..event_store.conftest import pen  # noqa: F401 -- a fixture
from ..event_store.test_due_work import worker  # noqa: F401 -- a fixture
from .store import SimulatedLog

SIMULATED = {"log", "pen", "worker", "return"}
"""What a test may take to run here; the others are about files, servers and other processes."""


@pytest.fixture
def log() -> Backend:
    return SimulatedLog(lambda: datetime.now(UTC))


for contract in (contract_of_append, contract_of_due_work, contract_of_reading):
    for name, test in vars(contract).items():
        if name.startswith("test_") and "log" in test.__annotations__ and SIMULATED.issuperset(test.__annotations__):
            globals()[name] = test
del name, test, contract
