"""`state`: the state of a saga, rebuilt from its events, now or at any moment."""

from __future__ import annotations

from ...ledger.state_reader import state_then
from ..exit_codes import ExitCode
from ..options import DEFAULTS, AtSagaMoment, Options, read_moment
from ..output.answer import answer
from ..output.documents import state_document, then_document
from ..output.remarks import then_remark
from ..output.state_fields import touched_fields
from ..output.table import Table
from ..output.timestamps import show_instant
from ..session import open_ledger


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
    changed = show_instant(found.updated_at)
    headline = f"{found.saga_id}: {found.status} at version {found.version}, last changed {changed}"
    fields = Table(("FIELD", "VALUE"), touched_fields(state_document(found)))
    answer(options, document, lambda: [*then_remark(moment, then), headline, fields])
    return ExitCode.OK
