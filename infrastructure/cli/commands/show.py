"""`show`: one saga on one screen: its status, every attempt of every step, and what to do next."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from ...ledger.saga_overview import SagaOverview, UnderivedProcess, saga_overview
from ..exit_codes import ExitCode
from ..options import DEFAULTS, AtSagaMoment, Options, read_moment
from ..output.answer import Block, answer, jsonable_row
from ..output.documents import event_document, process_document, state_document, then_document
from ..output.next_steps import next_steps
from ..output.remarks import then_remark
from ..output.saga_screen import next_block, saga_screen
from ..output.table import cell
from ..output.timeline import timeline
from ..session import open_ledger


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
    document = _document(found, steps) | then_document(moment, found.then)
    answer(options, document, lambda: [*then_remark(moment, found.then), *saga_screen(found, steps)])
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
        "its steps are derived with the app that declares its choreography: --app module:object, or --app shop",
        f"all that was recorded: {options.again('history', found.saga_id)}",
    ]
    document = {
        "saga_id": found.saga_id,
        "status": row.get("status"),
        "row": None if found.row is None else jsonable_row(row),
        "events": [event_document(entry) for entry in found.entries],
        "next": steps,
    }

    def screen() -> Iterable[Block]:
        yield f"{found.saga_id}  {row.get('status', 'not in the view sagas yet')}"
        yield from (f"  {name:<14} {cell(value)}" for name, value in row.items() if value not in (None, 0))
        yield ""
        yield timeline(found.saga_id, found.entries)
        yield from next_block(steps)

    answer(options, document, screen)
