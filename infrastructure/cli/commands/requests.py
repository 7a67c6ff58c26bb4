"""`requests`: sagas that programs asked for in their own transactions, and that are not started, or refused."""

from __future__ import annotations

from typing import Annotated, Any

from cyclopts import Parameter

from ...event_store.start_requests import StartRequest
from ...ledger.saga_listing import list_start_requests
from ..arguments import between
from ..exit_codes import ExitCode
from ..options import DEFAULTS, Options
from ..output.answer import answer, jsonable_row, say
from ..output.remarks import worker_remark
from ..output.table import Table
from ..session import open_ledger

ROWS_MAX = 10_000
COLUMNS = ("saga_id", "status", "requested_at", "begins_at", "actor", "reason")


def requests(
    *,
    limit: Annotated[
        int, Parameter(help="The most requests to show; the oldest first.", validator=between(1, ROWS_MAX))
    ] = 100,
    options: Options = DEFAULTS,
) -> ExitCode:
    """Sagas that programs asked for in their own transactions and that are not started: open, or refused and why."""
    with open_ledger(options) as ledger:
        found = list_start_requests(ledger.context, limit=limit)
        remark = worker_remark(ledger, options) if any(request.reason is None for request in found) else None
    rows = [_row(request) for request in found]
    document = {"requests": [jsonable_row(row) for row in rows]}
    plain = Table(COLUMNS, [[row[name] for name in COLUMNS] for row in rows])
    notes = {at: [row["reason"]] for at, row in enumerate(rows) if row["reason"]}
    shown = Table(COLUMNS[:-1], [row[:-1] for row in plain.rows], notes=notes)
    answer(options, document, lambda: [plain], lambda _: [shown])
    if remark:
        say(remark)
    return ExitCode.OK


def _row(request: StartRequest) -> dict[str, Any]:
    row = request._asdict()
    del row["input"], row["fingerprint"]
    return {**row, "status": "open" if request.refused_at is None else "refused"}
