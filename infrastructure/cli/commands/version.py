"""`version`: the version of sagaledger and of its foundations."""

from __future__ import annotations

import platform
import sqlite3
from importlib.metadata import version as version_of

from ..exit_codes import ExitCode
from ..options import DEFAULTS, Options
from ..output.answer import answer

FOUNDATIONS = ("eventsourcing", "msgspec", "SQLAlchemy", "psycopg")


def version(*, options: Options = DEFAULTS) -> ExitCode:
    """The version of sagaledger and of its foundations."""
    document = {
        "sagaledger": version_of("sagaledger"),
        "python": platform.python_version(),
        "sqlite": sqlite3.sqlite_version,
        **{name.lower(): version_of(name) for name in FOUNDATIONS},
    }
    answer(options, document, lambda: (f"{name} {number}" for name, number in document.items()))
    return ExitCode.OK
