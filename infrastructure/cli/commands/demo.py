"""`demo`: the reference flow on real orders, on a fresh SQLite file, and what to look at next."""

from __future__ import annotations

import os
from collections.abc import Iterable
from decimal import Decimal
from pathlib import Path
from typing import Annotated, Any

from cyclopts import Parameter

from ....domain.errors import SagaledgerError
from ....domain.saga.state import Status
from ....domain.shop import IMPORT_JOB, import_key
from ....domain.shop.choreographies import order_choreography
from ...errors import WorkerRunning, WrongState
from ...ledger.app import App
from ...ledger.ledger import Ledger
from ...shop.app import APP
from ...shop.order_import import SLICE, OrderFile, read_file, write_rejects
from ...shop.run_orders import RunOptions
from ..exit_codes import ExitCode
from ..options import DEFAULTS, Options
from ..output.output import Block, answer
from ..output.table import Table
from ..usage import UsageError
from .history import timeline
from .run import StyleName, drive, report_document, report_text, style_of

FILE = "sagaledger-demo.db"
TERMS = RunOptions(seed=7, decline_rate=Decimal("0.1"), opening_stock=None, concurrency=1000, actor="demo")
BESIDE = ("", "-wal", "-shm")
"""A SQLite database is this many files."""
VIEWS = (
    ("orders", ("order_id", "customer_id", "country", "status", "lines", "total_minor", "currency"), ("placed_at",)),
    ("inventory", ("sku", "received", "on_hand", "reserved", "shipped", "returned"), ("-shipped",)),
)
"""Views that the demo shows, with some of their columns and an order."""
ROWS = 5


def demo(
    *,
    style: Annotated[
        StyleName, Parameter(help="With a coordinator, or by services that react to each other's events.")
    ] = "orchestration",
    options: Options = DEFAULTS,
) -> ExitCode:
    """Real orders through their sagas, some declined and undone, on a fresh SQLite file; then what to look at.

    The file is sagaledger-demo.db in the current folder unless --db names another. A file there is replaced if it is
    from an earlier demo, and left alone otherwise.
    """
    if options.app is not None:
        raise UsageError("the demo is the online shop's: it takes no --app")
    url = options.db or f"sqlite:///{FILE}"
    if not url.startswith("sqlite:///"):
        raise UsageError(f"the demo makes a SQLite file, and {url!r} names none: use --db sqlite:///FILE")
    intake = read_file(SLICE)
    path = Path(url.removeprefix("sqlite:///"))
    _make_room(path, url, intake)
    rejects = path.with_suffix(".rejects.csv")
    write_rejects(rejects, intake.rejects)
    shown = Options(db=url, json=options.json)
    with Ledger.open(url, APP) as ledger:
        outcome, seconds = drive(ledger, intake, TERMS._replace(style=style_of(style)))
        report = report_document(intake, outcome, seconds, rejects)
        answer(options, report | _json_look(ledger, shown), lambda: [*report_text(report), *_look(ledger, shown)])
    return ExitCode.OK


def _make_room(path: Path, url: str, intake: OrderFile) -> None:
    """Remove an earlier demo. Raises `WrongState` for anything else that is there, `WorkerRunning` for one at work."""
    if not path.exists() or path.stat().st_size == 0:
        return
    refusal = WrongState(f"{path} is there and is not an earlier demo: name another file with --db sqlite:///FILE")
    try:
        with Ledger.open(url, App()) as ledger:
            is_ours = _is_demo(ledger, intake)
            if is_ours:  # only one that nobody works is removed
                ledger.backend.retire(ledger.backend.register(host="demo", pid=os.getpid(), lease_seconds=1.0))
    except WorkerRunning:
        raise
    except SagaledgerError as error:
        raise refusal from error
    if not is_ours:
        raise refusal
    for suffix in BESIDE:
        path.with_name(f"{path.name}{suffix}").unlink(missing_ok=True)


def _is_demo(ledger: Ledger, intake: OrderFile) -> bool:
    """Whether a ledger holds nothing, or begins with the demo's own intake."""
    first = ledger.backend.read(0, limit=1)
    return not first or (
        first[0].stream_id == f"{IMPORT_JOB.category}-{import_key(intake.sha256)}"
        and f'"{TERMS.actor}"' in first[0].meta
    )


def _cancelled(ledger: Ledger) -> str:
    """An order that was declined, and its saga undone."""
    found = ledger.query("sagas", where={"status": Status.COMPENSATED.value}, order=("events", "saga_id"), limit=1)
    return str(found.rows[0]["saga_id"])


def _look(ledger: Ledger, options: Options) -> Iterable[Block]:
    saga_id = _cancelled(ledger)
    yield f"\nA declined order, undone: {saga_id}\n"
    yield timeline(saga_id, ledger.history(saga_id))
    for view, columns, order in VIEWS:
        found = ledger.query(view, order=order, limit=ROWS)
        yield f"\nThe view {view}, as of position {found.as_of_position}\n"
        yield Table(columns, [[row[name] for name in columns] for row in found.rows])
    yield "\nLook closer\n"
    yield from (f"  {command}" for command in _commands(saga_id, options))


def _json_look(ledger: Ledger, options: Options) -> dict[str, Any]:
    saga_id = _cancelled(ledger)
    return {"cancelled": saga_id, "commands": _commands(saga_id, options)}


def _commands(saga_id: str, options: Options) -> list[str]:
    words = (
        ("show", saga_id),
        ("history", saga_id),
        ("state", saga_id, "--at", "4"),
        ("diff", saga_id, "4", "7"),
        ("list", "--status", "compensated"),
        ("query", "orders", "--where", "status=cancelled"),
        ("query", "payments", "--at", "1000"),
        ("projections",),
        ("projections", "drift", "orders"),
        *((("participants",),) if saga_id.startswith(order_choreography.name) else ()),
        ("verify",),
    )
    return [Options(db=options.db).again(*each) for each in words]
