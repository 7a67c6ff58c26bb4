"""`signal`: a person sends a saga a signal by its name."""

from __future__ import annotations

from typing import Annotated

from cyclopts import Parameter

from ..arguments import Actor, SignalKey, read_json, stated
from ..exit_codes import ExitCode
from ..options import DEFAULTS, Options
from ..output.answer import answer, say
from ..output.remarks import worker_remark
from ..session import actor_or_user, open_ledger


def signal(
    saga_id: str,
    name: str,
    /,
    *,
    payload: Annotated[str | None, Parameter(help="What comes with it, as JSON; the step's result.")] = None,
    reason: Annotated[str | None, Parameter(help="Why; it stays on record.")] = None,
    refuse: Annotated[bool, Parameter(negative="", help="Refuse what the saga waits for; needs a --reason.")] = False,
    actor: Actor = None,
    key: SignalKey = None,
    options: Options = DEFAULTS,
) -> ExitCode:
    """Send a saga a signal. One that comes before the saga waits for it is kept.

    Parameters
    ----------
    saga_id
        The saga's id, such as fulfil_order-536365.
    name
        The signal's name.
    """
    value, who = read_json("--payload", payload), actor_or_user(actor)
    if refuse:
        stated(reason or "")
    with open_ledger(options) as ledger:
        position = ledger.signal(saga_id, name, value, actor=who, reason=reason, refused=refuse, key=key)
        remark = worker_remark(ledger, options)
    document = {"saga_id": saga_id, "signal": name, "refused": refuse, "actor": who, "key": key, "position": position}
    what = f"signal {name}, refused," if refuse else f"signal {name}"
    answer(options, document, lambda: [f"{saga_id}: {what} by {who} is on record at position {position}"])
    if remark:
        say(remark)
    return ExitCode.OK
