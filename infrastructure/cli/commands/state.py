"""`state`: the state of a saga, rebuilt from its events, now or at any moment."""

from __future__ import annotations

from typing import Annotated

from cyclopts import Parameter

from ..exit_codes import ExitCode
from ..options import DEFAULTS, Options
from ..output.answer import answer
from ..output.documents import state_document
from ..output.state_fields import touched_fields
from ..output.table import Table
from ..output.timestamps import read_moment, show_instant
from ..session import open_ledger


def state(
    saga_id: str,
    /,
    *,
    at: Annotated[str | None, Parameter(help="A version such as 4, or a time such as 2026-03-01T02:17:05Z.")] = None,
    options: Options = DEFAULTS,
) -> ExitCode:
    """A saga's state, rebuilt from its events: now, or as it was at a version or at a time.

    Parameters
    ----------
    saga_id
        The saga's id, such as fulfil_order-536365.
    """
    moment = None if at is None else read_moment(at)
    with open_ledger(options) as ledger:
        found = ledger.state(saga_id, moment)
    document = state_document(found)
    changed = show_instant(found.updated_at)
    headline = f"{found.saga_id}: {found.status} at version {found.version}, last changed {changed}"
    answer(options, document, lambda: [headline, Table(("FIELD", "VALUE"), touched_fields(document))])
    return ExitCode.OK
