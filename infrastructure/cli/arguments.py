"""Arguments that several commands share: an actor, a reason, a JSON value."""

from __future__ import annotations

from typing import Annotated, Any, TypeAlias

import msgspec
from cyclopts import Parameter

from .usage import UsageError

Reason: TypeAlias = Annotated[str, Parameter(help="Why; it stays on record.")]
Actor: TypeAlias = Annotated[str | None, Parameter(help="Who decides it [default: the user of this shell].")]


def stated(reason: str) -> str:
    """Return a reason that says something. Raises `UsageError` for an empty one."""
    if not reason.strip():
        raise UsageError("--reason is empty: say why, for the audit of this saga")
    return reason


def read_json(option: str, text: str | None) -> Any:
    """Return the JSON value of an option; None without one. Raises `UsageError` for any other text."""
    try:
        return None if text is None else msgspec.json.decode(text)
    except msgspec.DecodeError as error:
        raise UsageError(f"{option} is not JSON: {error}") from error
