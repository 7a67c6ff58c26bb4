"""The public API is what `__all__` names, and it is typed."""

from __future__ import annotations

import subprocess
import sys
from typing import assert_type

import pytest

import sagaledger
from sagaledger import App, Ledger, Retry, Saga, SagaState, Started, Status, Step, StepContext


@pytest.mark.parametrize("name", sagaledger.__all__)
def test_every_public_name_is_there(name: str) -> None:
    """It can be imported from the package itself."""
    assert getattr(sagaledger, name) is not None
    assert name in dir(sagaledger)


def test_a_name_that_is_not_public_is_no_attribute() -> None:
    """With the usual error."""
    with pytest.raises(AttributeError, match="module 'sagaledger' has no attribute 'nonsense'"):
        _ = sagaledger.nonsense  # type: ignore[attr-defined]


def test_importing_the_package_imports_nothing_else() -> None:
    """A command pays only for what it uses."""
    loaded = subprocess.run(
        [sys.executable, "-c", "import sagaledger, sys; print('sqlalchemy' in sys.modules)"],
        capture_output=True,
        text=True,
        check=True,
    )

    assert loaded.stdout == "False\n"


def typed(ledger: Ledger, saga: Saga[dict[str, str]]) -> None:
    """What a type checker says of the API; never called."""
    assert_type(ledger.start(saga, {}), Started)
    assert_type(ledger.state("trip-1"), SagaState)
    assert_type(ledger.state("trip-1").status, Status)
    assert_type(App(sagas=[saga]), App)
    assert_type(Retry(attempts=3).delay_seconds("key", 1), float)

    @saga.step()
    def book(trip: dict[str, str], ctx: StepContext) -> str:
        return trip["city"] + ctx.key

    assert_type(book, Step)
