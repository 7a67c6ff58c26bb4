"""Shells for the tests of the command line."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from sagaledger.infrastructure.shop.order_import import SLICE

from ..prepared_ledgers import Create, create_ledger
from .shell import Shell

APP_FILE = Path(__file__).with_name("bookings.py")


@pytest.fixture(scope="session")
def created_by() -> Create:
    """What creates ledgers in the server, as `sagaledger init` does."""
    return create_ledger


@pytest.fixture
def sqlite_url(tmp_path: Path) -> str:
    """The URL of a file that a command creates."""
    return f"sqlite:///{tmp_path / 'ledger.db'}"


@pytest.fixture
def shell(tmp_path: Path, url: str) -> Iterator[Shell]:
    """A shell on an empty ledger, with the shop's app in the environment, once for each backend."""
    opened = Shell(tmp_path, url)
    opened.environment["SAGALEDGER_APP"] = "shop"
    yield opened
    opened.close()


@pytest.fixture
def sqlite_shell(tmp_path: Path) -> Iterator[Shell]:
    """A shell in an empty folder, with nothing in the environment."""
    opened = Shell(tmp_path)
    yield opened
    opened.close()


@pytest.fixture
def bookings(shell: Shell) -> Shell:
    """A shell with a user's app, `bookings:APP`, in its folder."""
    shutil.copy(APP_FILE, shell.folder)
    shell.environment["SAGALEDGER_APP"] = "bookings:APP"
    return shell


@pytest.fixture(scope="module")
def shop(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Shell]:
    """A shell on a ledger into which the real slice was run; tests only read it, and name no app unless they must."""
    opened = Shell(tmp_path_factory.mktemp("shop"), "sqlite:///shop.db")
    done = opened("run", str(SLICE), "--decline-rate", "0.1", "--seed", "7")
    assert done.returncode == 0, done.stderr
    yield opened
    opened.close()
