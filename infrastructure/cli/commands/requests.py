"""`requests`: sagas that programs asked for in their own transactions, and that are not started, or refused."""

from __future__ import annotations

from typing import Annotated, Any

from cyclopts import Parameter

from ...event_store.start_requests import StartRequest
from ..exit_codes import ExitCode
from ..options import DEFAULTS, Options
from ..output.output import answer, jsonable, say
from ..output.table import Table
from ..session import open_ledger
from .workers import unattended

COLUMNS = ("saga_id", "status", "requested_at", "begins_at", "actor", "reason")


def requests(
    *,
    limit: Annotated[int, Parameter(help="The most requests to show; the oldest first.")] = 100,
    options: Options = DEFAULTS,
) -> ExitCode:
    """Sagas that were asked for in somebody's own transaction and are not there: open, or refused, and why."""
    with open_ledger(options) as ledger:
        box = ledger.backend.start_requests
        found = [] if box is None else box.listed(limit=limit)
        remark = unattended(ledger, options) if any(request.reason is None for request in found) else None
    rows = [_row(request) for request in found]
    document = {"requests": [{name: jsonable(value) for name, value in row.items()} for row in rows]}
    answer(options, document, lambda: [Table(COLUMNS, [[row[name] for name in COLUMNS] for row in rows])])
    if remark:
        say(remark)
    return ExitCode.OK


def _row(request: StartRequest) -> dict[str, Any]:
    row = request._asdict()
    del row["input"], row["fingerprint"]
    return {**row, "status": "open" if request.refused_at is None else "refused"}
