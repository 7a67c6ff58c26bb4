"""`deadletters`: events that services could not handle, and trying them again."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from cyclopts import App, Parameter

from ....projections.projection import Row
from ...choreography.replay import replay as replay_letter
from ..exit_codes import ExitCode
from ..options import DEFAULTS, Options
from ..output.freshness import follow_if_unattended
from ..output.output import answer, jsonable, say
from ..output.table import Table
from ..session import actor_or_user, open_ledger
from ..usage import UsageError

COLUMNS = ("service", "position", "correlation_id", "event", "status", "attempts", "failed_at", "error")
LETTERS_MAX = 1_000

app = App(name="deadletters")


@app.command(name="list")
def list_letters(
    *,
    status: Annotated[
        Literal["open", "retrying", "parked", "deferred", "settled", "all"], Parameter(help="Only those that stand so.")
    ] = "open",
    service: Annotated[str | None, Parameter(help="Only those of this service.")] = None,
    options: Options = DEFAULTS,
) -> ExitCode:
    """Events that a service could not handle: tried again, parked for a person, or waiting behind one that is."""
    where = {} if service is None else {"service": service}
    if status not in ("open", "all"):
        where["status"] = status
    with open_ledger(options) as ledger:
        follow_if_unattended(ledger)
        found = ledger.query("dead_letters", where=where, order=("position",), limit=LETTERS_MAX)
    rows = [row for row in found.rows if status != "open" or row["status"] != "settled"]
    document = {
        "letters": [{name: jsonable(value) for name, value in row.items()} for row in rows],
        "as_of_position": found.as_of_position,
        "head_position": found.head_position,
    }
    answer(options, document, lambda: [Table(COLUMNS, [_shown(row) for row in rows])])
    if not options.json:
        for row in rows:
            if row["status"] == "parked":
                words = ("deadletters", "replay", row["service"], str(row["position"]), "--reason", "WHY")
                say(f"to try it again: {options.again(*words)}")
    return ExitCode.OK


def _shown(row: Row) -> list[Any]:
    why = f"waits behind event {row['behind']}" if row["status"] == "deferred" else row["error"]
    return [*(row[name] for name in COLUMNS[:-1]), why]


@app.command
def replay(
    service: str,
    position: int,
    /,
    *,
    reason: Annotated[str, Parameter(help="Why it should succeed now.")],
    actor: Annotated[str | None, Parameter(help="Who says so [default: the user of this shell].")] = None,
    options: Options = DEFAULTS,
) -> ExitCode:
    """Let a service try a parked event again.

    Parameters
    ----------
    service
        The service that could not handle it.
    position
        The event's position in the log.
    """
    if position < 1:
        raise UsageError(f"position {position}: the log begins with 1")
    with open_ledger(options) as ledger:
        decided = replay_letter(ledger, service, position, actor=actor_or_user(actor), reason=reason)
    document = {"service": service, "position": position, "decided_at_position": decided}
    answer(options, document, lambda: [f"{service} will try event {position} again (decided at position {decided})"])
    if not options.json:
        say(f"its services have to run: {options.again('participants', 'run')}")
    return ExitCode.OK
