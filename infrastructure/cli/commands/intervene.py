"""`intervene`: a person decides how sagas that need one go on."""

from __future__ import annotations

from dataclasses import replace
from typing import Annotated, Any, Literal, TypeAlias

from cyclopts import Parameter

from ...ledger.bulk_operations import BulkTarget, select_interventions
from ...ledger.ledger import Ledger
from ..arguments import Actor, Reason, read_json, stated
from ..exit_codes import ExitCode
from ..options import DEFAULTS, Options
from ..output.answer import answer, say
from ..output.remarks import worker_remark
from ..session import actor_or_user, bring_views_up, open_ledger
from ..usage import UsageError
from .bulk import MANY, ONE, BulkOptions, check_target, decide_about_many

InterventionName: TypeAlias = Literal["retry", "skip", "resolve", "abandon"]


def intervene(
    action: InterventionName,
    saga_id: str | None = None,
    /,
    *,
    reason: Reason,
    result: Annotated[str | None, Parameter(help="With resolve: the step's result, as JSON.")] = None,
    actor: Actor = None,
    status: Annotated[
        Literal["needs_intervention"] | None, Parameter(help="All that need a person.", group=MANY)
    ] = None,
    many: BulkOptions = ONE,
    options: Options = DEFAULTS,
) -> ExitCode:
    """Decide how a saga that needs a person goes on, or all that a filter selects.

    Parameters
    ----------
    action
        retry runs the step again; skip goes on without it; resolve goes on as if the step had returned --result;
        abandon ends the saga as it is. resolve and skip need the app that defines the saga.
    saga_id
        The saga's id, such as fulfil_order-536365.
    """
    if result is not None and action != "resolve":
        raise UsageError(f"--result belongs to `intervene resolve`: leave it out with {action}")
    value = read_json("--result", result)
    unfiltered = many if saga_id is None else replace(many, step=None)
    check_target(saga_id, filtered=status is not None or unfiltered != ONE)
    who, why = actor_or_user(actor), stated(reason)
    with open_ledger(options) as ledger:
        if saga_id is not None:
            return _intervene_one(ledger, action, BulkTarget(saga_id, many.step, None), who, why, value, options)
        bring_views_up(ledger)
        selection = select_interventions(ledger.context, many.filter)

        def decide(target: BulkTarget) -> int:
            return ledger.intervene(target.saga_id, action, actor=who, reason=why, step=target.step, result=value)

        heading = {"action": action, "actor": who, "reason": why}
        return decide_about_many(options, many, selection, heading, decide)


def _intervene_one(
    ledger: Ledger, action: InterventionName, target: BulkTarget, actor: str, reason: str, result: Any, options: Options
) -> ExitCode:
    saga_id = target.saga_id
    position = ledger.intervene(saga_id, action, actor=actor, reason=reason, step=target.step, result=result)
    remark = None if action == "abandon" else worker_remark(ledger, options)
    document = {"saga_id": saga_id, "action": action, "actor": actor, "position": position}
    answer(options, document, lambda: [f"{saga_id}: {action} by {actor} is on record at position {position}"])
    if remark:
        say(remark)
    return ExitCode.OK
