"""`state`: the state of a saga, rebuilt from its events, now or at any moment."""

from __future__ import annotations

from collections.abc import Iterable

from ...ledger.state_reader import state_then
from ...read_models.relative_time import utc_now
from ..exit_codes import ExitCode
from ..options import DEFAULTS, AtSagaMoment, Options, read_moment
from ..output.answer import Block, answer
from ..output.documents import state_document, then_document
from ..output.elapsed import Since, dated
from ..output.remarks import then_remark
from ..output.screen import labelled
from ..output.state_fields import touched_fields, value
from ..output.table import Table
from ..output.timestamps import show_instant
from ..session import open_ledger

HEADLINE = ("saga_id", "status", "version", "started_at", "updated_at")
"""The fields that a screen shows above the others."""


def state(
    saga_id: str,
    /,
    *,
    at: AtSagaMoment = None,
    options: Options = DEFAULTS,
) -> ExitCode:
    """A saga's state, rebuilt from its events: now, or as it was at a moment.

    Parameters
    ----------
    saga_id
        The saga's id, such as fulfil_order-536365.
    """
    moment = None if at is None else read_moment(at)
    with open_ledger(options) as ledger:
        found, then = state_then(ledger.context, saga_id, moment)
    document = state_document(found) | then_document(moment, then)
    since = Since(found.started_at or utc_now())
    changed = show_instant(found.updated_at)
    headline = f"{found.saga_id}: {found.status} at version {found.version}, last changed {changed}"
    fields = touched_fields(state_document(found))

    def screen(width: int) -> Iterable[Block]:
        last = since.offset(found.updated_at or since.origin)
        yield from then_remark(moment, then)
        yield f"{found.saga_id}  {found.status}"
        yield f"at version {found.version}, last changed {last} after {dated(since.origin)} UTC"
        yield ""
        yield from labelled(((name, value(each, since)) for name, each in fields if name not in HEADLINE), width)

    answer(
        options,
        document,
        lambda: [*then_remark(moment, then), headline, Table(("FIELD", "VALUE"), fields)],
        screen,
    )
    return ExitCode.OK
