"""`cancel`: a person cancels a saga, or all that a filter selects."""

from __future__ import annotations

from typing import Annotated, Literal

from cyclopts import Parameter

from ...ledger.bulk_operations import select_cancellable
from ...ledger.ledger import Ledger
from ..arguments import Actor, Reason, stated
from ..exit_codes import ExitCode
from ..options import DEFAULTS, Options
from ..output.answer import answer, say
from ..output.remarks import worker_remark
from ..session import actor_or_user, bring_views_up, open_ledger
from .bulk import MANY, ONE, BulkOptions, check_target, decide_about_many


def cancel(
    saga_id: str | None = None,
    /,
    *,
    reason: Reason,
    actor: Actor = None,
    status: Annotated[
        Literal["running", "waiting"] | None, Parameter(help="Those of this status [default: both].", group=MANY)
    ] = None,
    many: BulkOptions = ONE,
    options: Options = DEFAULTS,
) -> ExitCode:
    """Ask a saga, or all that a filter selects, to compensate its steps. A worker does it, or the saga's services.

    Parameters
    ----------
    saga_id
        The saga's id, such as fulfil_order-536365.
    """
    check_target(saga_id, filtered=status is not None or many != ONE)
    who, why = actor_or_user(actor), stated(reason)
    with open_ledger(options) as ledger:
        if saga_id is not None:
            return _cancel_one(ledger, saga_id, who, why, options)
        bring_views_up(ledger)
        statuses = ("running", "waiting") if status is None else (status,)
        selection = select_cancellable(ledger.context, many.filter, statuses)
        return decide_about_many(
            options,
            many,
            selection,
            {"action": "cancel", "actor": who, "reason": why},
            lambda target: ledger.cancel(target.saga_id, actor=who, reason=why),
        )


def _cancel_one(ledger: Ledger, saga_id: str, actor: str, reason: str, options: Options) -> ExitCode:
    position = ledger.cancel(saga_id, actor=actor, reason=reason)
    if ledger.app.choreography_of(saga_id) is None:
        remark = worker_remark(ledger, options)
    else:
        remark = f"its services compensate it where they run: {options.again('participants', 'run')}"
    document = {"saga_id": saga_id, "position": position}
    answer(options, document, lambda: [f"{saga_id}: its cancellation is on record at position {position}"])
    if remark:
        say(remark)
    return ExitCode.OK
