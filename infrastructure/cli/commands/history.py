"""`history`: everything that was recorded of a saga."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Annotated

from cyclopts import Parameter

from ...ledger.saga_history import read_history, saga_row
from ..exit_codes import ExitCode
from ..options import DEFAULTS, AtSagaMoment, Options, read_moment
from ..output.answer import Block, answer, say
from ..output.documents import event_document, then_document
from ..output.history_screen import HistoryPage, history_screen
from ..output.remarks import then_remark
from ..output.screen import screen_width
from ..output.text import counted
from ..output.timeline import timeline
from ..session import open_ledger

UNDERIVED = "its steps are derived with the app that declares its choreography: --app names it"


def history(
    saga_id: str,
    /,
    *,
    participants: Annotated[bool, Parameter(help="Also the events of its participants.")] = True,
    after: Annotated[int, Parameter(help="Only the events after this position.")] = 0,
    limit: Annotated[int | None, Parameter(help="The most events of one page; without it, all.")] = None,
    at: AtSagaMoment = None,
    options: Options = DEFAULTS,
) -> ExitCode:
    """Everything that was recorded of a saga, in order: each attempt, its outcome, and who did it.

    Parameters
    ----------
    saga_id
        The saga's id, such as fulfil_order-536365.
    """
    moment = None if at is None else read_moment(at)
    with open_ledger(options) as ledger:
        found = read_history(ledger.context, saga_id, participants=participants, at=moment)
        row = saga_row(ledger.context, saga_id) if found.state is None else None
    status = row and row["status"] if found.state is None else found.state.status
    following = [entry for entry in found.entries if entry.position > after]
    page = following if limit is None else following[:limit]
    document = {
        "saga_id": saga_id,
        "status": status,
        **then_document(moment, found.then),
        "events": [event_document(entry) for entry in page],
    }
    standing = str(status or "of no known status")

    def screen(width: int) -> Iterable[Block]:
        yield from then_remark(moment, found.then)
        yield from history_screen(HistoryPage(saga_id, found.entries, page, standing), width)

    answer(options, document, lambda: [*then_remark(moment, found.then), timeline(saga_id, page)], screen)
    if not options.json:
        if len(page) < len(following):
            say(f"there are {len(following) - len(page):,} more: add --after {page[-1].position if page else after}")
        in_full = options.again("history", saga_id, *(() if at is None else ("--at", at)), "--json")
        said = "" if screen_width(options) else f"{saga_id}: {counted(len(found.entries), 'event')}, {standing}; "
        say(f"{said}in full: {in_full}")
        if row is not None:
            say(f"{saga_id} has no coordinator: {UNDERIVED}")
    return ExitCode.OK
