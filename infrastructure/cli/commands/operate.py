"""`cancel` and `intervene`: a person changes the course of a saga, or of many, with a name and a reason on record."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Annotated, Any, Literal

import msgspec
from cyclopts import Parameter

from ..exit_codes import ExitCode
from ..options import DEFAULTS, Options
from ..output.output import answer, say
from ..session import actor_or_user, open_ledger
from ..usage import UsageError
from .bulk import MANY, ONE, BulkOptions, BulkTarget, decide_each, moving, parked
from .workers import unattended

Reason = Annotated[str, Parameter(help="Why; it stays on record.")]
Actor = Annotated[str | None, Parameter(help="Who answers for it [default: the user of this shell].")]


def cancel(
    saga_id: str | None = None,
    /,
    *,
    reason: Reason,
    actor: Actor = None,
    status: Annotated[
        Literal["running", "waiting"] | None, Parameter(help="Those that stand so [default: both].", group=MANY)
    ] = None,
    many: BulkOptions = ONE,
    options: Options = DEFAULTS,
) -> ExitCode:
    """Ask a saga, or all that a filter finds, to turn back and undo what they did: a worker does it, or its services.

    Parameters
    ----------
    saga_id
        The saga's id, such as fulfil_order-536365.
    """
    _refuse_unclear(saga_id, filtered=status is not None or many != ONE)
    if saga_id is None:
        return _cancel_many(("running", "waiting") if status is None else (status,), many, reason, actor, options)
    with open_ledger(options) as ledger:
        position = ledger.cancel(saga_id, actor=actor_or_user(actor), reason=_stated(reason))
        if ledger.app.choreography_of(saga_id) is None:
            remark = unattended(ledger, options)
        else:
            remark = f"its services undo what they did, where they run: {options.again('participants', 'run')}"
    document = {"saga_id": saga_id, "position": position}
    answer(options, document, lambda: [f"{saga_id}: told to turn back, at position {position}"])
    if remark:
        say(remark)
    return ExitCode.OK


def intervene(
    action: Literal["retry", "skip", "resolve", "abandon"],
    saga_id: str | None = None,
    /,
    *,
    reason: Reason,
    result: Annotated[str | None, Parameter(help="With resolve: the step's result, as JSON.")] = None,
    actor: Actor = None,
    status: Annotated[
        Literal["needs_intervention"] | None, Parameter(help="Those that need a person, which is all.", group=MANY)
    ] = None,
    many: BulkOptions = ONE,
    options: Options = DEFAULTS,
) -> ExitCode:
    """Decide how a saga that needs a person goes on, or all that a filter finds.

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
    one = saga_id is not None
    _refuse_unclear(saga_id, filtered=status is not None or (replace(many, step=None) if one else many) != ONE)
    if saga_id is None:
        return _intervene_many(action, many, reason, value, actor, options)
    with open_ledger(options) as ledger:
        who = actor_or_user(actor)
        position = ledger.intervene(saga_id, action, actor=who, reason=_stated(reason), step=many.step, result=value)
        remark = None if action == "abandon" else unattended(ledger, options)
    document = {"saga_id": saga_id, "action": action, "actor": who, "position": position}
    answer(options, document, lambda: [f"{saga_id}: {action} by {who} is on record, at position {position}"])
    if remark:
        say(remark)
    return ExitCode.OK


def _refuse_unclear(saga_id: str | None, *, filtered: bool) -> None:
    """Raise `UsageError` unless either one saga is meant, by its id, or many, by a filter."""
    if saga_id is not None and filtered:
        raise UsageError(f"name one saga, or filter many: {saga_id} and a filter cannot both be meant")
    if saga_id is None and not filtered:
        raise UsageError("which saga? Give its id, or a filter such as --status (and --dry-run to see which they are)")


def _cancel_many(
    statuses: Sequence[str], many: BulkOptions, reason: str, actor: str | None, options: Options
) -> ExitCode:
    heading = {"action": "cancel", "actor": actor_or_user(actor), "reason": _stated(reason)}
    who = heading["actor"]
    with open_ledger(options) as ledger:
        found = moving(ledger, many, statuses)
        return decide_each(
            options, found, many, heading, lambda target: ledger.cancel(target.saga_id, actor=who, reason=reason)
        )


def _intervene_many(
    action: str, many: BulkOptions, reason: str, result: Any, actor: str | None, options: Options
) -> ExitCode:
    heading = {"action": action, "actor": actor_or_user(actor), "reason": _stated(reason)}
    who = heading["actor"]
    with open_ledger(options) as ledger:
        found = parked(ledger, many)

        def act(target: BulkTarget) -> int:
            return ledger.intervene(target.saga_id, action, actor=who, reason=reason, step=target.step, result=result)

        return decide_each(options, found, many, heading, act)


def _stated(reason: str) -> str:
    if not reason.strip():
        raise UsageError("--reason is empty: say why, for whoever audits this saga")
    return reason


def _json(text: str) -> Any:
    try:
        return msgspec.json.decode(text)
    except msgspec.DecodeError as error:
        raise UsageError(f"--result is not JSON: {error}") from error
