"""`cancel` and `intervene`: a person changes the course of a saga, by name and with a reason on record."""

from __future__ import annotations

from typing import Annotated, Any, Literal

import msgspec
from cyclopts import Parameter

from .exit_code import ExitCode
from .options import DEFAULTS, Options
from .output import answer, say
from .session import actor_or_user, open_ledger
from .usage import UsageError
from .workers import unattended

Reason = Annotated[str, Parameter(help="Why; it stays on record.")]
Actor = Annotated[str | None, Parameter(help="Who answers for it [default: the user of this shell].")]


def cancel(saga_id: str, /, *, reason: Reason, actor: Actor = None, options: Options = DEFAULTS) -> ExitCode:
    """Ask a saga to turn back and undo what it did. A worker does it.

    Parameters
    ----------
    saga_id
        The saga's id, such as fulfil_order-536365.
    """
    with open_ledger(options) as ledger:
        position = ledger.cancel(saga_id, actor=actor_or_user(actor), reason=_stated(reason))
        remark = unattended(ledger, options)
    document = {"saga_id": saga_id, "position": position}
    answer(options, document, lambda: [f"{saga_id}: told to turn back, at position {position}"])
    if remark:
        say(remark)
    return ExitCode.OK


def intervene(
    action: Literal["retry", "skip", "resolve", "abandon"],
    saga_id: str,
    /,
    *,
    reason: Reason,
    step: Annotated[str | None, Parameter(help="Which step, if more than one waits for a person.")] = None,
    result: Annotated[str | None, Parameter(help="With resolve: the step's result, as JSON.")] = None,
    actor: Actor = None,
    options: Options = DEFAULTS,
) -> ExitCode:
    """Decide how a saga that needs a person goes on.

    Parameters
    ----------
    action
        retry runs the step again; skip goes on without it; resolve goes on as if it had given --result; abandon ends
        the saga as it stands.
    saga_id
        The saga's id, such as fulfil_order-536365.
    """
    if (result is not None) and action != "resolve":
        raise UsageError(f"--result belongs to `intervene resolve`, and says nothing to {action}")
    value = None if result is None else _json(result)
    with open_ledger(options) as ledger:
        who = actor_or_user(actor)
        position = ledger.intervene(saga_id, action, actor=who, reason=_stated(reason), step=step, result=value)
        remark = None if action == "abandon" else unattended(ledger, options)
    document = {"saga_id": saga_id, "action": action, "actor": who, "position": position}
    answer(options, document, lambda: [f"{saga_id}: {action} by {who} is on record, at position {position}"])
    if remark:
        say(remark)
    return ExitCode.OK


def _stated(reason: str) -> str:
    if not reason.strip():
        raise UsageError("--reason is empty: say why, for whoever audits this saga")
    return reason


def _json(text: str) -> Any:
    try:
        return msgspec.json.decode(text)
    except msgspec.DecodeError as error:
        raise UsageError(f"--result is not JSON: {error}") from error
