"""The report of a run, in which every line of the file is accounted for."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

from ...shop.order_import import OrderFile
from ...shop.run_result import RunResult
from .answer import Block
from .table import Table

LISTED = ("sagas", "rejects", "invoices_in_conflict")
CONFLICTS_SHOWN_MAX = 100
"""How many invoices in conflict the report for a person lists; `--json` has all of them."""

LINES_SHOWN_MAX = 3
"""How many lines of each."""


def report_document(orders: OrderFile, result: RunResult, rejects: Path) -> dict[str, Any]:
    """Return the report as JSON. Every line of the file is in an order, in a return, or rejected."""
    return {
        "lines_in": orders.lines_in,
        "lines_in_orders": orders.lines_in_orders,
        "lines_in_returns": orders.lines_in_returns,
        "lines_rejected": orders.lines_rejected,
        "orders": len(orders.orders),
        "returns": len(orders.returns),
        "invoices_in_conflict": [each._asdict() for each in (*result.contradicted, *result.conflicts)],
        "sagas": result.statuses,
        "events": result.events,
        "seconds": round(result.seconds, 3),
        "sagas_per_second": round(result.ended_since / result.seconds, 1),
        "head_position": result.head_position,
        "rejects": str(rejects),
    }


def report_text(document: dict[str, Any]) -> Iterable[Block]:
    """Yield the report for a person."""
    rows = [(name.replace("_", " "), value) for name, value in document.items() if name not in LISTED]
    conflicts = document["invoices_in_conflict"]
    statuses = [(f"sagas {status.replace('_', ' ')}", number) for status, number in document["sagas"].items()]
    at = next(index for index, (name, _) in enumerate(rows) if name == "returns") + 1
    yield Table(("", "run"), [*rows[:at], ("invoices in conflict", len(conflicts)), *statuses, *rows[at:]])
    if conflicts:
        shown = [(each["saga_id"], _lines(each["lines"]), each["reason"]) for each in conflicts[:CONFLICTS_SHOWN_MAX]]
        yield Table(("invoice in conflict", "lines", "reason"), shown)
    yield f"rejected lines, each with its reason: {document['rejects']}"


def _lines(numbers: Sequence[int]) -> str:
    """Return the first numbers of lines, and how many more there are."""
    listed = ", ".join(map(str, numbers[:LINES_SHOWN_MAX]))
    more = len(numbers) - LINES_SHOWN_MAX
    return f"{listed} and {more:,} more" if more > 0 else listed
