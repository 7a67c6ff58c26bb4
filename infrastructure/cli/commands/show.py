"""`show`: one saga on one screen: its status, every attempt of every step, and what to do next."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime
from typing import Any

from ...ledger.saga_overview import SagaOverview, UnderivedProcess, saga_overview
from ...read_models import relative_time
from ..exit_codes import ExitCode
from ..options import DEFAULTS, AtSagaMoment, Options, read_moment
from ..output.answer import Block, answer, jsonable_row
from ..output.documents import event_document, process_document, state_document, then_document
from ..output.elapsed import dated
from ..output.history_screen import HistoryPage, history_screen
from ..output.next_steps import NextStep, next_steps
from ..output.remarks import then_remark
from ..output.saga_screen import next_block as next_on_screen
from ..output.saga_screen import saga_screen, since_start
from ..output.saga_text import next_block, saga_text
from ..output.table import cell
from ..output.timeline import timeline
from ..session import open_ledger

HEADLINE = ("saga_id", "status", "correlation_id")
"""The columns that say what the screen has said above."""
UNDERIVED = "its steps are derived with the app that declares its choreography"


def show(saga_id: str, /, *, at: AtSagaMoment = None, options: Options = DEFAULTS) -> ExitCode:
    """One saga on one screen: its status, every attempt of every step, and what to do next.

    Parameters
    ----------
    saga_id
        The saga's id, such as fulfil_order-536365.
    """
    moment = None if at is None else read_moment(at)
    with open_ledger(options) as ledger:
        found = saga_overview(ledger.context, saga_id, moment)
    if isinstance(found, UnderivedProcess):
        _show_underived(found, options)
        return ExitCode.OK
    steps = next_steps(found, options)
    lines = [step.line for step in steps]
    document = _document(found, lines) | then_document(moment, found.then)

    def text() -> Iterable[Block]:
        return [*then_remark(moment, found.then), *saga_text(found, lines)]

    def screen(width: int) -> Iterable[Block]:
        yield from then_remark(moment, found.then)
        now = found.state.updated_at if found.then is not None else None
        shown = next_steps(found, options, since_start(found).moment)
        yield from saga_screen(found, shown, now or relative_time.utc_now(), width)

    answer(options, document, text, screen)
    return ExitCode.OK


def _document(found: SagaOverview, steps: list[str]) -> dict[str, Any]:
    return {
        **state_document(found.state),
        "failed_step": found.failed_step,
        "error": found.error,
        **({} if found.process is None else {"choreography": process_document(found.process)}),
        **({"attributes": dict(found.attributes)} if found.attributes else {}),
        "attempts": [jsonable_row(row) for row in found.attempts],
        "next": steps,
    }


def _show_underived(found: UnderivedProcess, options: Options) -> None:
    """Answer with what is recorded of a choreographed saga whose choreography the app does not declare."""
    row = found.row or {}
    steps = [
        NextStep(f"{UNDERIVED}: --app module:object, or --app shop"),
        NextStep("all that was recorded", options.again("history", found.saga_id)),
    ]
    lines = [step.line for step in steps]
    document = {
        "saga_id": found.saga_id,
        "status": row.get("status"),
        "row": None if found.row is None else jsonable_row(row),
        "events": [event_document(entry) for entry in found.entries],
        "next": lines,
    }

    def text() -> Iterable[Block]:
        yield f"{found.saga_id}  {row.get('status', 'not in the view sagas yet')}"
        yield from (f"  {name:<14} {cell(value)}" for name, value in row.items() if value not in (None, 0))
        yield ""
        yield timeline(found.saga_id, found.entries)
        yield from next_block(lines)

    def on_screen(width: int) -> Iterable[Block]:
        status = str(row.get("status", "not in the view sagas yet"))
        shown = {name: value for name, value in row.items() if name not in HEADLINE and value not in (None, 0)}
        facts = [(name, _on_screen(value)) for name, value in shown.items()]
        yield from history_screen(HistoryPage(found.saga_id, found.entries, found.entries, status), width, facts)
        yield from next_on_screen(steps, width)

    answer(options, document, text, on_screen)


def _on_screen(value: object) -> str:
    return f"{dated(value)} UTC" if isinstance(value, datetime) else cell(value)
