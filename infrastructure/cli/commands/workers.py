"""`workers`: who works a ledger; and the remark, in other commands, that nobody does."""

from __future__ import annotations

from datetime import UTC, datetime

from ...ledger.ledger import Ledger
from ..exit_codes import ExitCode
from ..options import DEFAULTS, Options
from ..output.output import answer, jsonable, say
from ..output.table import Table
from ..session import open_ledger

COLUMNS = ("worker", "host", "pid", "sagas", "started_at", "lease_until", "lease")


def workers(*, options: Options = DEFAULTS) -> ExitCode:
    """The workers that have a lease on this ledger, and how many sagas each holds just now."""
    with open_ledger(options) as ledger:
        found = ledger.backend.workers()
        remark = unattended(ledger, options)
    now = datetime.now(UTC)
    rows = [
        (w.worker_id, w.host, w.pid, w.sagas, w.started_at, w.lease_until, "held" if w.lease_until > now else "run out")
        for w in found
    ]
    documents = [{name: jsonable(value) for name, value in zip(COLUMNS, row, strict=True)} for row in rows]
    answer(options, {"workers": documents}, lambda: [Table(COLUMNS, rows)] if rows else [])
    if remark:
        say(remark)
    return ExitCode.OK


def unattended(ledger: Ledger, options: Options) -> str | None:
    """The remedy if no worker has a lease on this ledger; None if one has."""
    if ledger.backend.workers():
        return None
    return f"no worker is running: `{options.again('worker')}` starts one"
