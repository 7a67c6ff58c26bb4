"""`workers`: the workers of a ledger, and the sagas that they could not read."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from ...ledger.freshness import list_workers
from ...ledger.put_back_sagas import put_back_sagas
from ...read_models import relative_time
from ..exit_codes import ExitCode
from ..options import DEFAULTS, Options
from ..output.answer import answer, jsonable_row, say
from ..output.remarks import no_worker
from ..output.table import Table
from ..output.text import counted
from ..output.worker_names import short_names
from ..session import open_ledger

COLUMNS = ("worker", "host", "pid", "sagas", "started_at", "lease_until", "lease")
PUT_BACK_COLUMNS = ("saga", "definition", "version", "due_at", "why")


def workers(*, options: Options = DEFAULTS) -> ExitCode:
    """The workers that have a lease on this ledger, how many sagas each holds now, and the sagas that one could not
    read and put back for others.
    """
    with open_ledger(options) as ledger:
        found = list_workers(ledger.context)
        put_back = put_back_sagas(ledger.context)
    now = relative_time.utc_now()
    rows = [
        (w.worker_id, w.host, w.pid, w.sagas, w.started_at, w.lease_until, "held" if w.lease_until > now else "run out")
        for w in found
    ]
    document = {
        "workers": [jsonable_row(dict(zip(COLUMNS, row, strict=True))) for row in rows],
        "put_back": [jsonable_row(dict(zip(PUT_BACK_COLUMNS, each, strict=True))) for each in put_back],
    }
    tables = ((COLUMNS, rows), (PUT_BACK_COLUMNS, put_back))
    answer(
        options,
        document,
        lambda: [Table(columns, lines) for columns, lines in tables if lines],
        lambda _: [Table(columns, lines) for columns, lines in ((COLUMNS, _short(rows)), tables[1]) if lines],
    )
    if not found:
        say(no_worker(options))
    if put_back:
        say(
            f"{counted(len(put_back), 'saga')} put back for others, because a worker could not read it or what it "
            "needs: run one that knows every event type; the log of the first says which it lacks"
        )
    return ExitCode.OK


def _short(rows: Sequence[Sequence[Any]]) -> list[list[Any]]:
    """Return the workers with their short names, and their hosts without the namespaces of process ids."""
    names = short_names(row[0] for row in rows)
    return [[names[worker], host.partition(" pid:[")[0], *others] for worker, host, *others in rows]
