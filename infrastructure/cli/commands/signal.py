"""`signal`, `approve` and `refuse`: a person tells a saga what it waits for."""

from __future__ import annotations

from typing import Annotated, Any

import msgspec
from cyclopts import Parameter

from ..exit_codes import ExitCode
from ..options import DEFAULTS, Options
from ..output.output import answer, say
from ..session import actor_or_user, open_ledger
from ..usage import UsageError
from .workers import unattended

Actor = Annotated[str | None, Parameter(help="Who says so [default: the user of this shell].")]
Payload = Annotated[str | None, Parameter(help="What comes with it, as JSON; the step's result.")]


def signal(
    saga_id: str,
    name: str,
    /,
    *,
    payload: Payload = None,
    reason: Annotated[str | None, Parameter(help="Why; it stays on record.")] = None,
    refuse: Annotated[bool, Parameter(negative="", help="Refuse what the saga waits for.")] = False,
    actor: Actor = None,
    options: Options = DEFAULTS,
) -> ExitCode:
    """Tell a saga something. What comes before the saga waits for it is kept.

    Parameters
    ----------
    saga_id
        The saga's id, such as fulfil_order-536365.
    name
        The signal's name.
    """
    value, who = _json(payload), actor_or_user(actor)
    with open_ledger(options) as ledger:
        position = ledger.signal(saga_id, name, value, actor=who, reason=reason, refused=refuse)
        remark = unattended(ledger, options)
    document = {"saga_id": saga_id, "signal": name, "refused": refuse, "actor": who, "position": position}
    what = f"signal {name}, refused," if refuse else f"signal {name}"
    answer(options, document, lambda: [f"{saga_id}: {what} by {who} is on record, at position {position}"])
    if remark:
        say(remark)
    return ExitCode.OK


def approve(
    saga_id: str,
    step: str,
    /,
    *,
    reason: Annotated[str, Parameter(help="Why; it stays on record.")],
    payload: Payload = None,
    actor: Actor = None,
    options: Options = DEFAULTS,
) -> ExitCode:
    """Approve what a step of a saga waits for, or will wait for: once.

    Parameters
    ----------
    saga_id
        The saga's id, such as fulfil_order-536365.
    step
        The step that waits; `sagaledger show` names it.
    """
    return _decided(saga_id, step, _json(payload), reason, actor, options, refused=False)


def refuse(
    saga_id: str,
    step: str,
    /,
    *,
    reason: Annotated[str, Parameter(help="Why; it stays on record.")],
    actor: Actor = None,
    options: Options = DEFAULTS,
) -> ExitCode:
    """Refuse what a step of a saga waits for: the step fails, and the saga turns back.

    Parameters
    ----------
    saga_id
        The saga's id, such as fulfil_order-536365.
    step
        The step that waits; `sagaledger show` names it.
    """
    return _decided(saga_id, step, None, reason, actor, options, refused=True)


def _decided(
    saga_id: str, step: str, payload: Any, reason: str, actor: str | None, options: Options, *, refused: bool
) -> ExitCode:
    if not reason.strip():
        raise UsageError("--reason is empty: say why, for whoever audits this saga")
    who = actor_or_user(actor)
    with open_ledger(options) as ledger:
        position = ledger.approve(saga_id, step, payload, actor=who, reason=reason, refused=refused)
        remark = unattended(ledger, options)
    done = "refused" if refused else "approved"
    document = {"saga_id": saga_id, "step": step, "refused": refused, "actor": who, "position": position}
    answer(options, document, lambda: [f"{saga_id}: {step} {done} by {who}, at position {position}"])
    if remark:
        say(remark)
    return ExitCode.OK


def _json(text: str | None) -> Any:
    try:
        return None if text is None else msgspec.json.decode(text)
    except msgspec.DecodeError as error:
        raise UsageError(f"--payload is not JSON: {error}") from error
