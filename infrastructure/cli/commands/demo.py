"""`demo`: real orders through the shop's sagas, on a fresh SQLite file, and what to look at next."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import Annotated

from cyclopts import Parameter

from ...event_store.database_url import sqlite_url
from ...event_store.redaction import redacted
from ...ledger.ledger import Ledger
from ...ledger.saga_history import read_history
from ...shop.app import APP
from ...shop.demo import DEMO_OPTIONS, compensated_saga, remove_earlier_demo
from ...shop.order_import import SLICE, check_rejects_file, read_file, write_rejects
from ...shop.run_orders import run_orders
from ..app_loader import SHOP
from ..exit_codes import ExitCode
from ..log_options import DEFAULT_LOGS, LogOptions
from ..options import DEFAULTS, Options
from ..output.answer import Block, answer, say
from ..output.history_screen import HistoryPage, event_lines
from ..output.progress import progress
from ..output.run_report import report_document, report_text
from ..output.screen import command_lines
from ..output.table import Table
from ..output.timeline import timeline
from ..session import database_files
from ..usage import UsageError
from .run import STYLES, StyleName

FILE = "sagaledger-demo.db"
VIEWS = (
    ("orders", ("order_id", "customer_id", "country", "status", "lines", "total_minor", "currency"), ("placed_at",)),
    ("inventory", ("sku", "received", "on_hand", "reserved", "shipped", "returned"), ("-shipped",)),
)
"""The views that the demo shows, with some of their columns, and an order."""
ROWS = 5


def demo(
    *,
    style: Annotated[
        StyleName, Parameter(help="With a coordinator, or by services that react to each other's events.")
    ] = "orchestration",
    logs: LogOptions = DEFAULT_LOGS,
    options: Options = DEFAULTS,
) -> ExitCode:
    """Real orders through their sagas, some declined and undone, on a fresh SQLite file; then what to look at.

    The file is sagaledger-demo.db in the current folder unless --db names another. An earlier demo in that file is
    replaced; any other file is left as it is.
    """
    logs.apply("warning")
    if options.app is not None:
        raise UsageError("the demo is the online shop's: leave out --app")
    given = options.db or f"sqlite:///{FILE}"
    url = sqlite_url(given)
    if url is None:
        raise UsageError(f"the demo makes a SQLite file, and {redacted(given)!r} names none: use --db sqlite:///FILE")
    path = Path(url.removeprefix("sqlite:///"))
    rejects = path.with_suffix(".rejects.csv")
    used = [SLICE, *database_files(Options(db=url))]
    check_rejects_file(rejects, used=used)
    orders = read_file(SLICE)
    remove_earlier_demo(path, url, orders)
    write_rejects(rejects, orders.rejects, used=used)
    with Ledger.open(url, APP) as ledger:
        with progress("sagas") as report:
            result = run_orders(ledger, orders, DEMO_OPTIONS._replace(style=STYLES[style]), report=report, say=say)
        saga_id = compensated_saga(ledger)
        commands = _commands(saga_id, url, style)
        document = report_document(orders, result, rejects)
        answer(
            options,
            {**document, "cancelled": saga_id, "commands": commands},
            lambda: [*report_text(document), *_tour(ledger, saga_id, commands, None)],
            lambda width: [*report_text(document), *_tour(ledger, saga_id, commands, width)],
        )
    return ExitCode.OK


def _tour(ledger: Ledger, saga_id: str, commands: list[str], width: int | None) -> Iterable[Block]:
    yield from ("", f"A declined order, undone: {saga_id}", "")
    history = read_history(ledger.context, saga_id)
    if width is None:
        yield timeline(saga_id, history.entries)
    else:
        yield from event_lines(HistoryPage(saga_id, history.entries, history.entries, ""), width)
    for view, columns, order in VIEWS:
        found = ledger.query(view, order=order, limit=ROWS)
        yield from ("", f"The view {view}, as of position {found.as_of_position}", "")
        yield Table(columns, [[row[name] for name in columns] for row in found.rows])
    yield from ("", "Look closer", "")
    for command in commands:
        yield from [f"  {command}"] if width is None else command_lines(command, width, "  ")


def _commands(saga_id: str, url: str, style: StyleName) -> list[str]:
    """Return command lines to copy. Those that run code of the shop name its app."""
    recorded, shop = Options(db=url), Options(db=url, app=SHOP)
    saga = recorded if style == "orchestration" else shop  # a choreographed saga is derived by its choreography
    return [
        saga.again("show", saga_id),
        saga.again("history", saga_id),
        saga.again("state", saga_id, "--at", "v4"),
        saga.again("diff", saga_id, "v4", "v7"),
        recorded.again("list", "--status", "compensated"),
        recorded.again("query", "orders", "--where", "status=cancelled"),
        shop.again("query", "payments", "--at", "@1000"),
        recorded.again("projections"),
        shop.again("projections", "drift", "orders"),
        *([shop.again("participants")] if style == "choreography" else []),
        shop.again("verify"),
    ]
