"""The how-to with Celery: its worker and that of the ledger, as processes."""

from __future__ import annotations

from pathlib import Path

import pytest

from sagaledger import Ledger
from sagaledger.domain.saga.events import SignalReceived

from ..documents.run_page import PageRun
from .guide import blocks_run_by, only_with_make_guides


@only_with_make_guides
def test_a_task_and_a_saga_work_together(tmp_path: Path) -> None:
    """The task that was sent twice started one saga, which waited for another task."""
    pytest.importorskip("celery")
    run = PageRun(blocks_run_by("test_celery.py", "celery.md"), tmp_path)

    run.run()

    assert not run.mismatches, "\n\n".join(map(str, run.mismatches))
    with Ledger.open(f"sqlite:///{tmp_path / 'ledger.db'}") as ledger:
        signals = [it.event for it in ledger.history("order-7") if isinstance(it.event, SignalReceived)]
        assert [(signal.name, signal.actor) for signal in signals] == [("invoice", "celery")]
