"""`init`: make the schema, or bring it up to this version."""

from __future__ import annotations

from ..exit_codes import ExitCode
from ..options import DEFAULTS, Options
from ..output.output import answer
from ..session import open_ledger


def init(*, options: Options = DEFAULTS) -> ExitCode:
    """Create or upgrade the schema. On one that is current it changes nothing."""
    with open_ledger(options, create=True) as ledger:
        head = ledger.backend.head()
        url = ledger.backend.name
    document = {"db": url, "head_position": head.position}
    answer(options, document, lambda: [f"{url} is ready: its log stands at position {head.position}"])
    return ExitCode.OK
