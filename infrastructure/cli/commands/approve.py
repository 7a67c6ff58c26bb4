"""`approve` and `refuse`: a person decides about the approval that a step waits for."""

from __future__ import annotations

from typing import Annotated, Any

from cyclopts import Parameter

from ..arguments import Actor, Reason, SignalKey, read_json, stated
from ..exit_codes import ExitCode
from ..options import DEFAULTS, Options
from ..output.answer import answer, say
from ..output.remarks import worker_remark
from ..session import actor_or_user, open_ledger


def approve(
    saga_id: str,
    step: str,
    /,
    *,
    reason: Reason,
    payload: Annotated[str | None, Parameter(help="What comes with it, as JSON; the step's result.")] = None,
    actor: Actor = None,
    key: SignalKey = None,
    options: Options = DEFAULTS,
) -> ExitCode:
    """Approve what a step of a saga waits for; where it needs several approvals, each actor gives one.

    Before the step waits, this needs the app that defines the saga.

    Parameters
    ----------
    saga_id
        The saga's id, such as fulfil_order-536365.
    step
        The step that waits; `sagaledger show` names it.
    """
    return _decide(saga_id, step, read_json("--payload", payload), reason, actor, key, options, refused=False)


def refuse(
    saga_id: str,
    step: str,
    /,
    *,
    reason: Reason,
    actor: Actor = None,
    key: SignalKey = None,
    options: Options = DEFAULTS,
) -> ExitCode:
    """Refuse what a step of a saga waits for: the step fails, and the saga is compensated.

    Parameters
    ----------
    saga_id
        The saga's id, such as fulfil_order-536365.
    step
        The step that waits; `sagaledger show` names it.
    """
    return _decide(saga_id, step, None, reason, actor, key, options, refused=True)


def _decide(
    saga_id: str,
    step: str,
    payload: Any,
    reason: str,
    actor: str | None,
    key: str | None,
    options: Options,
    *,
    refused: bool,
) -> ExitCode:
    who, why = actor_or_user(actor), stated(reason)
    with open_ledger(options) as ledger:
        position = ledger.approve(saga_id, step, payload, actor=who, reason=why, refused=refused, key=key)
        remark = worker_remark(ledger, options)
    done = "refused" if refused else "approved"
    document = {"saga_id": saga_id, "step": step, "refused": refused, "actor": who, "key": key, "position": position}
    answer(options, document, lambda: [f"{saga_id}: step {step} {done} by {who}, at position {position}"])
    if remark:
        say(remark)
    return ExitCode.OK
