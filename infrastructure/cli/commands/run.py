"""`run`: a file of real orders through the shop's sagas, with a report that accounts for every line."""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import Annotated, Literal, TypeAlias

from cyclopts import Parameter

from ....domain.saga.state import Status
from ...shop.order_import import (
    SEPARATORS,
    DateNotation,
    DecimalMark,
    FileFormat,
    check_rejects_file,
    column_map,
    read_file,
    write_rejects,
)
from ...shop.order_import import decline_rate as read_decline_rate
from ...shop.run_options import BrokerOptions, RunOptions, Style
from ...shop.run_orders import run_orders
from ...shop.run_result import RunResult
from .. import settings
from ..app_loader import SHOP
from ..arguments import INTEGER_MAX
from ..exit_codes import ExitCode
from ..log_options import DEFAULT_LOGS, LogOptions
from ..options import DEFAULTS, Options
from ..output.answer import answer, say
from ..output.progress import progress
from ..output.run_report import report_document, report_text
from ..output.text import counted
from ..session import actor_or_user, app_name, database_files, database_url, open_or_create
from ..usage import UsageError

OPENING_STOCK_MAX = 10**12
CONCURRENCY_MAX = 1_000_000
PARTICIPANT = "from sagaledger.infrastructure.cli.main import main; main()"
"""The command line itself, for a process of each service."""
SeparatorName: TypeAlias = Literal["comma", "semicolon", "tab", "pipe"]
StyleName: TypeAlias = Literal["orchestration", "choreography"]
STYLES: dict[StyleName, Style] = {"orchestration": "orchestrated", "choreography": "choreographed"}


def run(
    file: Path,
    /,
    *,
    opening_stock: Annotated[
        int | None, Parameter(help="Pieces of each article at the start [default: as many as the file's orders need].")
    ] = None,
    decline_rate: Annotated[str, Parameter(name="--decline-rate", help="Which share of payments is declined.")] = "0",
    seed: Annotated[int, Parameter(help="Decides, with the order's id, which ones.")] = 0,
    concurrency: Annotated[int, Parameter(help="How many sagas run at once.")] = 1000,
    rejects: Annotated[
        Path | None, Parameter(help="Where to report rejected lines [default: FILE.rejects.csv, in this folder].")
    ] = None,
    separator: Annotated[
        SeparatorName | None,
        Parameter(help="What separates the fields of a CSV file [default: as its header shows]."),
    ] = None,
    columns: Annotated[
        str | None,
        Parameter(
            help="The file's own names: online-retail-ii, or InvoiceNo=Invoice,UnitPrice=Price,…; further columns are "
            "ignored, and Country= says that there is none."
        ),
    ] = None,
    dates: Annotated[
        DateNotation | None, Parameter(help="The order of day, month and year [default: as the file's dates show].")
    ] = None,
    decimal: Annotated[
        DecimalMark | None,
        Parameter(help="What stands before the pence [default: a point; either, where no comma separates the fields]."),
    ] = None,
    style: Annotated[
        StyleName, Parameter(help="With a coordinator, or by services that react to each other's events.")
    ] = "orchestration",
    broker: Annotated[
        str | None,
        Parameter(
            help="Services in processes of their own, over NATS JetStream: nats://HOST:4222 or tls://… "
            "[default with --style choreography: $SAGALEDGER_BROKER]"
        ),
    ] = None,
    actor: Annotated[str | None, Parameter(help="Who runs it [default: the user of this shell].")] = None,
    logs: LogOptions = DEFAULT_LOGS,
    options: Options = DEFAULTS,
) -> ExitCode:
    """Take a file of orders through the shop's sagas to the end, and report. Run again, it goes on where it stopped.

    Parameters
    ----------
    file
        Invoice lines: .csv or .jsonl, each also .gz. Without --columns, in the columns of UCI "Online Retail".
    """
    logs.apply("warning")
    _check(opening_stock, seed, concurrency, style, broker)
    rate = read_decline_rate(decline_rate)
    url = broker or (settings.broker() if style == "choreography" else None)
    services = None if url is None else _broker_options(url, logs, options)
    how = RunOptions(seed, rate, opening_stock, concurrency, actor_or_user(actor), STYLES[style], services)
    rejects_file = rejects or Path(f"{_stem(file)}.rejects.csv")
    given = None if separator is None else SEPARATORS[separator]
    file_format = FileFormat(given, column_map(columns), dates, decimal)
    used = [file, *database_files(options)]
    check_rejects_file(rejects_file, used=used)
    with progress(f"reading {file.name}"):
        orders = read_file(file, file_format)
    for note in orders.notes:
        say(note)
    write_rejects(rejects_file, orders.rejects, unlisted=orders.rejects_unlisted, used=used)
    with open_or_create(options, default_app=SHOP) as ledger:
        try:
            with progress("sagas") as report:
                result = run_orders(ledger, orders, how, report=report, say=say)
        except KeyboardInterrupt:
            say("what has begun is on record: run it again to go on")
            raise
    document = report_document(orders, result, rejects_file)
    answer(options, document, lambda: report_text(document))
    unfinished = len(orders.invoices) - result.quiescent - len(result.conflicts)
    if unfinished:
        say(f"{counted(unfinished, 'saga')} did not come to an end: run it again to go on")
        return ExitCode.FAILED
    if parked := result.statuses.get(Status.NEEDS_INTERVENTION):
        say(f"{counted(parked, 'saga')} for a person: {options.again('list', '--status', 'needs_intervention')}")
    return _conflicts_said(result)


def _conflicts_said(result: RunResult) -> ExitCode:
    """Say how many invoices were left out, and why; return the exit code."""
    for conflicts, why in (
        (result.contradicted, "whose lines contradict each other, left out"),
        (result.conflicts, "in conflict with what the ledger has, and left out"),
    ):
        if conflicts:
            say(f"{counted(len(conflicts), 'invoice')} {why}: all others are done")
    return ExitCode.CONFLICT if result.contradicted or result.conflicts else ExitCode.OK


def _check(stock: int | None, seed: int, concurrency: int, style: StyleName, broker: str | None) -> None:
    if abs(seed) > INTEGER_MAX:
        raise UsageError(f"--seed {seed} is too large: use one of at most 63 bits")
    if stock is not None and not 0 <= stock <= OPENING_STOCK_MAX:
        raise UsageError(f"--opening-stock {stock} must be from 0 to {OPENING_STOCK_MAX:,} pieces of each article")
    if not 1 <= concurrency <= CONCURRENCY_MAX:
        raise UsageError(f"--concurrency {concurrency} must be from 1 to {CONCURRENCY_MAX:,}")
    if broker is not None and style != "choreography":
        raise UsageError("--broker carries the events of services: add --style choreography")


def _broker_options(url: str, logs: LogOptions, options: Options) -> BrokerOptions:
    words = ("participants", "run", "--quiet")
    environment = {  # not on the command line, which others can read: a URL may have a password
        **os.environ,
        **logs.environment,
        "SAGALEDGER_DB": database_url(options),
        "SAGALEDGER_APP": app_name(options) or SHOP,
        "SAGALEDGER_BROKER": url,
    }
    return BrokerOptions(url, (sys.executable, "-c", PARTICIPANT, *words), environment)


def _stem(file: Path) -> str:
    name = file.name.removesuffix(".gz")
    return name.removesuffix(".csv").removesuffix(".jsonl")
