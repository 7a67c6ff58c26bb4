"""`workers`: the workers of a ledger."""

from __future__ import annotations

from datetime import UTC, datetime

from ...ledger.freshness import list_workers
from ..exit_codes import ExitCode
from ..options import DEFAULTS, Options
from ..output.answer import answer, jsonable_row, say
from ..output.remarks import no_worker
from ..output.table import Table
from ..session import open_ledger

COLUMNS = ("worker", "host", "pid", "sagas", "started_at", "lease_until", "lease")


def workers(*, options: Options = DEFAULTS) -> ExitCode:
    """The workers that have a lease on this ledger, and how many sagas each holds now."""
    with open_ledger(options) as ledger:
        found = list_workers(ledger.context)
    now = datetime.now(UTC)
    rows = [
        (w.worker_id, w.host, w.pid, w.sagas, w.started_at, w.lease_until, "held" if w.lease_until > now else "run out")
        for w in found
    ]
    documents = [jsonable_row(dict(zip(COLUMNS, row, strict=True))) for row in rows]
    answer(options, {"workers": documents}, lambda: [Table(COLUMNS, rows)] if rows else [])
    if not found:
        say(no_worker(options))
    return ExitCode.OK
