"""`init`: make the schema, or bring it up to this version."""

from __future__ import annotations

from sqlalchemy import make_url

from ..exit_codes import ExitCode
from ..options import DEFAULTS, Options
from ..output.output import answer
from ..session import open_ledger


def init(*, options: Options = DEFAULTS) -> ExitCode:
    """Create or upgrade the schema. On one that is current it changes nothing."""
    with open_ledger(options, create=True) as ledger:
        head = ledger.backend.head()
        url = shown_url(ledger.backend.url)
    document = {"db": url, "head_position": head.position}
    answer(options, document, lambda: [f"{url} is ready: its log stands at position {head.position}"])
    return ExitCode.OK


def shown_url(url: str) -> str:
    """A database URL without its password."""
    return make_url(url).render_as_string(hide_password=True)
