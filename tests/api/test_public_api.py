"""The public API is what `__all__` names; `tests/typed` says how it is typed."""

from __future__ import annotations

import subprocess
import sys

import pytest

import sagaledger


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
