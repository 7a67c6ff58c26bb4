"""`deadletters`: events that services could not handle, and replaying them."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from cyclopts import App, Parameter

from ....projections.projection import Row
from ...choreography.replay import replay as replay_delivery
from ...errors import AppPartMissing
from ...ledger.dead_letter_listing import list_dead_letters
from ..arguments import POSITION, Actor, stated
from ..exit_codes import ExitCode
from ..options import DEFAULTS, Options
from ..output.answer import answer, jsonable_row, say
from ..output.table import Table
from ..session import actor_or_user, bring_views_up, open_ledger
from ..usage import UsageError

COLUMNS = ("service", "position", "correlation_id", "event", "status", "attempts", "failed_at", "error")
ROWS_MAX = 1_000

app = App(name="deadletters")


@app.command(name="list")
def list_(
    *,
    status: Annotated[
        Literal["open", "retrying", "parked", "deferred", "settled", "all"],
        Parameter(help="Only those of this status; open is each that is not settled."),
    ] = "open",
    service: Annotated[str | None, Parameter(help="Only those of this service.")] = None,
    options: Options = DEFAULTS,
) -> ExitCode:
    """Events that a service could not handle: tried again, parked for a person, or deferred behind such an event."""
    with open_ledger(options) as ledger:
        bring_views_up(ledger)
        found = list_dead_letters(ledger.context, status=status, service=service, limit=ROWS_MAX)
    rows = found.rows
    document = {
        "letters": [jsonable_row(row) for row in rows],
        "as_of_position": found.as_of_position,
        "head_position": found.head_position,
    }
    answer(options, document, lambda: [Table(COLUMNS, [_cells(row) for row in rows])], lambda _: [_on_screen(rows)])
    if not options.json:
        for row in rows:
            if row["status"] == "parked":
                words = ("deadletters", "replay", row["service"], str(row["position"]), "--reason", "WHY")
                say(f"to try it again: {options.again(*words)}")
    return ExitCode.OK


def _on_screen(rows: list[Row]) -> Table:
    """The events, each with its error on lines of its own."""
    red = {at: "red" for at, row in enumerate(rows) if row["status"] == "parked"}
    notes = {at: [error] for at, row in enumerate(rows) if (error := _cells(row)[-1])}
    cells = [[row["service"], f"@{row['position']}", *(row[name] for name in COLUMNS[2:-1])] for row in rows]
    return Table(("SERVICE", "LOG", "PROCESS", "EVENT", "STATUS", "TRIES", "FAILED"), cells, red, notes=notes)


def _cells(row: Row) -> list[Any]:
    error = f"deferred behind event {row['behind']}" if row["status"] == "deferred" else row["error"]
    return [*(row[name] for name in COLUMNS[:-1]), error]


@app.command
def replay(
    service: str,
    position: Annotated[int, Parameter(validator=POSITION)],
    /,
    *,
    reason: Annotated[str, Parameter(help="Why it should succeed now; it stays on record.")],
    actor: Actor = None,
    options: Options = DEFAULTS,
) -> ExitCode:
    """Let a service try a parked event again. This needs the app that has the service.

    Parameters
    ----------
    service
        The service that could not handle it.
    position
        The event's position in the log.
    """
    if position < 1:
        raise UsageError(f"position {position}: the log begins with 1")
    who, why = actor_or_user(actor), stated(reason)
    with open_ledger(options) as ledger:
        if not ledger.app.services:
            raise AppPartMissing(f"replaying event {position}", f"service {service!r}")
        decided = replay_delivery(ledger, service, position, actor=who, reason=why)
    document = {"service": service, "position": position, "decided_at_position": decided}
    answer(options, document, lambda: [f"{service} will try event {position} again (decided at position {decided})"])
    if not options.json:
        say(f"its services must be running: {options.again('participants', 'run')}")
    return ExitCode.OK
