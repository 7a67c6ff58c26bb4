"""The demo: the real orders of the package, on a SQLite file that only an earlier demo may be replaced in."""

from __future__ import annotations

import os
from decimal import Decimal
from pathlib import Path
from typing import Final

from ...domain.errors import SagaledgerError
from ...domain.saga.state import Status
from ...domain.shop import IMPORT_JOB, import_key
from ..errors import WorkerRunning, WrongState
from ..ledger.app import App
from ..ledger.ledger import Ledger
from .order_import import OrderFile
from .run_options import RunOptions

DEMO_OPTIONS: Final = RunOptions(
    seed=7, decline_rate=Decimal("0.1"), opening_stock=None, concurrency=1000, actor="demo"
)
FILE_SUFFIXES: Final = ("", "-wal", "-shm")
"""A SQLite database is up to three files."""


def remove_earlier_demo(path: Path, url: str, orders: OrderFile) -> None:
    """Remove the ledger of an earlier demo.

    Raises `WrongState` for a file that is anything else, also a ledger without events, and `WorkerRunning` for a demo
    that a worker has open.
    """
    if not path.exists() or path.stat().st_size == 0:
        return
    refusal = WrongState(f"{path} exists and is not an earlier demo: name another file with --db sqlite:///FILE")
    try:
        with Ledger.open(url, App()) as ledger:
            is_demo = _is_demo(ledger, orders)
            if is_demo:  # registering fails while a worker has the file
                ledger.backend.retire(ledger.backend.register(host="demo", pid=os.getpid(), lease_seconds=1.0))
    except WorkerRunning:
        raise
    except SagaledgerError as error:
        raise refusal from error
    if not is_demo:
        raise refusal
    for suffix in FILE_SUFFIXES:
        path.with_name(f"{path.name}{suffix}").unlink(missing_ok=True)


def compensated_saga(ledger: Ledger) -> str:
    """Return the id of a saga whose payment was declined: it was compensated."""
    found = ledger.query("sagas", where={"status": Status.COMPENSATED.value}, order=("events", "saga_id"), limit=1)
    return str(found.rows[0]["saga_id"])


def _is_demo(ledger: Ledger, orders: OrderFile) -> bool:
    """Whether a ledger begins with the demo's own import."""
    first = ledger.backend.read(0, limit=1)
    own = f"{IMPORT_JOB.category}-{import_key(orders.sha256)}"
    return bool(first) and first[0].stream_id == own and f'"{DEMO_OPTIONS.actor}"' in first[0].meta
