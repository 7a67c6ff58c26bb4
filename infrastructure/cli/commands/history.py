"""`history`: everything that was recorded of a saga, as one reads it at three in the morning."""

from __future__ import annotations

import sys
from collections.abc import Iterable, Sequence
from typing import Annotated

from cyclopts import Parameter

from ....domain.recorded_event import RecordedEvent
from ....domain.saga.events import Direction
from ....domain.saga.evolve import rebuild
from ..exit_codes import ExitCode
from ..options import DEFAULTS, Options
from ..output.documents import event_document
from ..output.event_text import direction_of, words
from ..output.output import answer, say
from ..output.table import Table
from ..output.text import counted
from ..session import open_ledger

COLUMNS = ("TIME (UTC)", "POSITION", "EVENT", "STEP", "TRY", "DETAIL", "BY")
TONES = {"bad": "red", "back": "yellow", "good": "green"}
BACK = "↩ "
"""Marks what undoes."""
INSIDE = "   └ "
"""Marks an event of a participant, under the step that commanded it."""


def history(
    saga_id: str,
    /,
    *,
    participants: Annotated[bool, Parameter(help="Also what its participants recorded.")] = True,
    options: Options = DEFAULTS,
) -> ExitCode:
    """Everything that was recorded of a saga, in order: each attempt, its outcome, and who did it.

    Parameters
    ----------
    saga_id
        The saga's id, such as fulfil_order-536365.
    """
    with open_ledger(options) as ledger:
        recorded = ledger.history(saga_id, participants=participants)
    status = rebuild(saga_id, (r.event for r in recorded if r.stream_id == saga_id)).status
    document = {"saga_id": saga_id, "status": status, "events": [event_document(r) for r in recorded]}
    answer(options, document, lambda: [timeline(saga_id, recorded)])
    if not options.json:
        in_full = options.again("history", saga_id, "--json")
        say(f"{saga_id}: {counted(len(recorded), 'event')}, {status}; all that they hold: {in_full}")
    return ExitCode.OK


def timeline(saga_id: str, recorded: Sequence[RecordedEvent]) -> Table:
    """The events as a table, those of participants indented, those that undo marked.

    On a terminal who did it is told only where that changes, so that what happened has room.
    """
    fitted = sys.stdout.isatty()
    rows, styles = [], {}
    back, by = False, None
    for index, r in enumerate(recorded):
        told, own = words(r.event), r.stream_id == saga_id
        if own:
            back = direction_of(r.event) is Direction.COMPENSATION or told.tone == "back"
        mark = (BACK if back else "") if own else INSIDE
        place = told.step if own else f"   {r.stream_id}"
        who, changed, by = _by(r), _by(r) != by, _by(r)
        detail = f"[{who}] {told.detail}" if fitted and who and changed else told.detail
        row = (r.recorded_at, r.position, f"{mark}{told.event}", place, told.attempt, detail)
        rows.append(row if fitted else (*row, who))
        if style := TONES.get(told.tone or "", "dim" if not own else None):
            styles[index] = style
    failed = frozenset(index for index, r in enumerate(recorded) if words(r.event).tone == "bad")
    return Table(COLUMNS[:6] if fitted else COLUMNS, rows, styles, flexible=("DETAIL",), in_full=failed)


def _by(recorded: RecordedEvent) -> str | None:
    """Who: the person or program that asked for it, and the worker that wrote it."""
    meta = recorded.meta
    names: Iterable[str | None] = (meta.actor, meta.worker and f"worker {meta.worker}")
    return ", ".join(name for name in names if name) or None
