"""`init`: create the schema, or upgrade it to this version."""

from __future__ import annotations

from ...ledger.freshness import head_position
from ..exit_codes import ExitCode
from ..options import DEFAULTS, Options
from ..output.answer import answer
from ..session import create_or_upgrade, shown_database


def init(*, options: Options = DEFAULTS) -> ExitCode:
    """Create or upgrade the schema, and the tables of the app's views. On a current schema it changes nothing."""
    with create_or_upgrade(options) as ledger:
        head = head_position(ledger.context)
    url = shown_database(options)
    answer(options, {"db": url, "head_position": head}, lambda: [f"{url} is ready: its log ends at position {head}"])
    return ExitCode.OK
