"""`definitions` and `version`."""

from __future__ import annotations

import platform
import sqlite3
from collections.abc import Iterable
from importlib.metadata import version as version_of
from typing import Any

import msgspec

from ...domain.definition import Definition
from .apps import load_app
from .exit_code import ExitCode
from .options import DEFAULTS, Options
from .output import Block, answer
from .settings import Settings
from .table import Table

FOUNDATIONS = ("eventsourcing", "msgspec", "SQLAlchemy", "psycopg")


def definitions(*, options: Options = DEFAULTS) -> ExitCode:
    """The sagas that can be started, with their steps."""
    known = load_app(options.app or Settings().app).definitions

    def text() -> Iterable[Block]:
        rows = [(d.name, d.version, d.fingerprint, " → ".join(map(_mark, d.steps)), d.deadline) for d in known]
        yield Table(("definition", "version", "fingerprint", "steps (*: pivot)", "deadline_seconds"), rows)

    answer(options, {"definitions": [_document(definition) for definition in known]}, text)
    return ExitCode.OK


def version(*, options: Options = DEFAULTS) -> ExitCode:
    """The version of sagaledger and of what it stands on."""
    document = {
        "sagaledger": version_of("sagaledger"),
        "python": platform.python_version(),
        "sqlite": sqlite3.sqlite_version,
        **{name.lower(): version_of(name) for name in FOUNDATIONS},
    }
    answer(options, document, lambda: (f"{name} {number}" for name, number in document.items()))
    return ExitCode.OK


def _mark(step: Any) -> str:
    return f"{step.name}*" if step.pivot else str(step.name)


def _document(definition: Definition) -> dict[str, Any]:
    return {
        "definition": definition.name,
        "version": definition.version,
        "fingerprint": definition.fingerprint,
        "deadline_seconds": definition.deadline,
        "steps": [
            {
                "step": step.name,
                "after": list(definition.after[step.name]),
                "pivot": step.pivot,
                "local": step.local,
                "compensated": step.undo is not None,
                "attempts_max": step.retry.attempts,
                "timeout_seconds": step.timeout,
            }
            for step in definition.steps
        ],
        "input": msgspec.json.schema(definition.input_type),
    }
