"""`run`: a file of real orders through its sagas, with a report that accounts for every line."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import UTC, datetime
from pathlib import Path
from time import monotonic
from typing import Annotated, Any, Literal, TypeAlias

from cyclopts import Parameter

from ....domain.saga.state import Status
from ...errors import Unavailable
from ...ledger.ledger import Ledger
from ...read_models.checkpoints import STOPPED
from ...runtime.gc_tuning import tune_gc
from ...shop.order_import import OrderFile, decline_rate, read_file, write_rejects
from ...shop.run_orders import AT_REST, RunOptions, RunResult, Style, begin, see_through, taken
from ..exit_codes import ExitCode
from ..options import DEFAULTS, Options
from ..output.output import Block, answer, say
from ..output.progress import progress
from ..output.table import Table
from ..output.text import counted
from ..session import actor_or_user, open_ledger
from ..usage import UsageError

INTEGER_MAX = 2**63 - 1
StyleName: TypeAlias = Literal["orchestration", "choreography"]


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
    style: Annotated[
        StyleName, Parameter(help="With a coordinator, or by services that react to each other's events.")
    ] = "orchestration",
    broker: Annotated[
        str | None, Parameter(help="Services in processes of their own, over NATS JetStream: nats://HOST:4222.")
    ] = None,
    actor: Annotated[str | None, Parameter(help="Who runs it [default: the user of this shell].")] = None,
    options: Options = DEFAULTS,
) -> ExitCode:
    """Take a file of orders through their sagas to the end, and report. Run again, it goes on where it stopped.

    Parameters
    ----------
    file
        Invoice lines in the columns of UCI "Online Retail": .csv or .jsonl, either of them also .gz.
    """
    terms = _terms(opening_stock, decline_rate, seed, concurrency, actor)
    terms = terms._replace(style=style_of(style, broker), broker=broker, app=options.app)
    with progress(f"reading {file.name}"):
        intake = read_file(file)
    report_path = rejects or Path(f"{_stem(file)}.rejects.csv")
    write_rejects(report_path, intake.rejects)
    with open_ledger(options) as ledger:
        try:
            outcome, seconds = drive(ledger, intake, terms)
        except KeyboardInterrupt:
            say("what has begun is on record: run it again to go on")
            raise
    document = report_document(intake, outcome, seconds, report_path)
    answer(options, document, lambda: report_text(document))
    unfinished = len(intake.invoices) - sum(outcome.statuses.get(status, 0) for status in AT_REST)
    if unfinished:
        say(f"{counted(unfinished, 'saga')} did not come to an end: run it again to go on")
        return ExitCode.FAILED
    if parked := outcome.statuses.get(Status.NEEDS_INTERVENTION):
        say(f"{counted(parked, 'saga')} for a person: {options.again('list', '--status', 'needs_intervention')}")
    return ExitCode.OK


def drive(ledger: Ledger, intake: OrderFile, terms: RunOptions) -> tuple[RunResult, float]:
    """Take a file in and bring every view to the head; gives what became of it, and the seconds that took.

    Raises `Refused` when the file was begun on other terms, `Unavailable` when a view cannot reach the head.
    """
    tune_gc()
    started, since = monotonic(), datetime.now(UTC)
    begin(ledger, intake, terms)
    with progress("sagas") as report:
        see_through(ledger, intake, terms, report)
    projector = ledger.projector()
    projector.catch_up()
    seconds = monotonic() - started
    stopped = next((s for s in projector.checkpoints() if s.status == STOPPED), None)
    projector.stop()
    if stopped is not None:
        raise Unavailable(f"every saga ended, but view {stopped.name!r} stopped: {stopped.error}")
    return taken(ledger, intake, since, terms.style), seconds


def report_document(intake: OrderFile, outcome: RunResult, seconds: float, rejects: Path) -> dict[str, Any]:
    """The report as JSON. Every line of the file is in an order, in a return, or rejected."""
    return {
        "lines_in": intake.lines_in,
        "lines_in_orders": intake.lines_in_orders,
        "lines_in_returns": intake.lines_in_returns,
        "lines_rejected": intake.lines_rejected,
        "orders": len(intake.orders),
        "returns": len(intake.returns),
        "sagas": outcome.statuses,
        "events": outcome.events,
        "seconds": round(seconds, 3),
        "sagas_per_second": round(outcome.ended_since / seconds, 1),
        "head_position": outcome.head_position,
        "rejects": str(rejects),
    }


def report_text(document: dict[str, Any]) -> Iterable[Block]:
    """The report for a person."""
    rows = [(name.replace("_", " "), value) for name, value in document.items() if name not in ("sagas", "rejects")]
    statuses = [(f"sagas {status.replace('_', ' ')}", number) for status, number in document["sagas"].items()]
    at = next(index for index, (name, _) in enumerate(rows) if name == "returns") + 1
    yield Table(("", "run"), [*rows[:at], *statuses, *rows[at:]])
    yield f"rejected lines, each with its reason: {document['rejects']}"


def _terms(stock: int | None, rate: str, seed: int, concurrency: int, actor: str | None) -> RunOptions:
    if abs(seed) > INTEGER_MAX:
        raise UsageError(f"--seed {seed} is too large: use one of at most 63 bits")
    if stock is not None and not 0 <= stock <= INTEGER_MAX:
        raise UsageError(f"--opening-stock {stock} must be 0 or more pieces of each article")
    if concurrency < 1:
        raise UsageError(f"--concurrency {concurrency}: at least 1 saga runs at once")
    return RunOptions(seed, decline_rate(rate), stock, concurrency, actor_or_user(actor))


def style_of(style: StyleName, broker: str | None = None) -> Style:
    """The style as sagas have it. Raises `UsageError` for a broker that nobody would use."""
    if style == "choreography":
        return "choreographed"
    if broker is not None:
        raise UsageError("--broker carries the events of services: add --style choreography")
    return "orchestrated"


def _stem(file: Path) -> str:
    name = file.name.removesuffix(".gz")
    return name.removesuffix(".csv").removesuffix(".jsonl")
