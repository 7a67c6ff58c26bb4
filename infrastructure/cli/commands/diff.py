"""`diff`: what changed in a saga between two moments."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from ...ledger.saga_diff import diff_saga
from ..exit_codes import ExitCode
from ..options import DEFAULTS, Options, SagaMomentText, read_moment
from ..output.answer import Block, answer
from ..output.documents import event_document
from ..output.elapsed import Since
from ..output.history_screen import HistoryPage, event_lines
from ..output.screen import labelled
from ..output.state_fields import is_seen, value
from ..output.table import Table
from ..output.text import counted
from ..output.timeline import timeline
from ..session import open_ledger

GONE = "(none)"


def diff(
    saga_id: str, a: SagaMomentText, b: SagaMomentText | None = None, /, *, options: Options = DEFAULTS
) -> ExitCode:
    """What changed in a saga between two moments: the events in between, and each field that they changed.

    The second moment is now, unless it is given.

    Parameters
    ----------
    saga_id
        The saga's id, such as fulfil_order-536365.
    """
    first, second = read_moment(a), None if b is None else read_moment(b)
    with open_ledger(options) as ledger:
        before, after, recorded, between, changes = diff_saga(ledger.context, saga_id, first, second)
    document = {
        "saga_id": saga_id,
        "a": {"version": before.version, "status": before.status},
        "b": {"version": after.version, "status": after.status},
        "events": [event_document(entry) for entry in between],
        "changes": changes,
    }

    seen = [(change["field"], change["before"], change["after"]) for change in changes if is_seen(change)]
    headline = (
        f"{saga_id}: version {before.version} ({before.status}) → version {after.version} ({after.status}), "
        f"{counted(len(between), 'event')}, {counted(len(seen), 'field')} changed"
    )
    fields = Table(("FIELD", "BEFORE", "AFTER"), seen)

    def text() -> Iterable[Block]:
        yield headline
        if seen:
            yield timeline(saga_id, between)
            yield fields

    def screen(width: int) -> Iterable[Block]:
        yield headline
        if seen:
            yield ""
            yield from event_lines(HistoryPage(saga_id, recorded, between, str(after.status)), width)
            yield ""
            since = Since(after.started_at or recorded[0].recorded_at)
            yield from labelled([(name, _change(old, new, since)) for name, old, new in seen], width)

    answer(options, document, text, screen)
    return ExitCode.OK


def _change(old: Any, new: Any, since: Since) -> str:
    return f"{value(old, since)} → {value(new, since) or GONE}".lstrip()
