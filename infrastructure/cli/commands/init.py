"""`init`: create the schema, or upgrade it to this version."""

from __future__ import annotations

from ...ledger.freshness import head_position
from ...ledger.view_operations import upgrade_views
from ..exit_codes import ExitCode
from ..options import DEFAULTS, Options
from ..output.answer import answer, say
from ..output.progress import progress
from ..session import create_or_upgrade, shown_database


def init(*, options: Options = DEFAULTS) -> ExitCode:
    """Create or upgrade the schema, and the app's views. On a ledger that is current it only lets views
    that are stopped try again."""
    with create_or_upgrade(options) as ledger:
        with progress("upgrading views") as report:
            upgraded = upgrade_views(ledger.context, report)
        head = head_position(ledger.context)
    url = shown_database(options)
    document = {"db": url, "head_position": head, "rebuilt_views": upgraded.rebuilt}
    answer(options, document, lambda: [f"{url} is ready: its log ends at position {head}"])
    if upgraded.rebuilt:
        say(f"rebuilt for this version: {', '.join(upgraded.rebuilt)}")
    if upgraded.remark is not None:
        say(upgraded.remark)
    return ExitCode.OK
