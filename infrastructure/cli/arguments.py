"""Arguments that several commands share: an actor, a reason, a JSON value, a number within bounds."""

from __future__ import annotations

from collections.abc import Callable
from typing import Annotated, Any, TypeAlias

import msgspec
from cyclopts import Parameter

from .usage import UsageError

INTEGER_MAX = 2**63 - 1
"""The largest integer that a database stores."""
SECONDS_MAX = 10.0**9
"""The longest wait, in seconds: 31 years."""
UTF8_MARK = b"\xef\xbb\xbf"

Reason: TypeAlias = Annotated[str, Parameter(help="Why; it stays on record.")]
Actor: TypeAlias = Annotated[str | None, Parameter(help="Who decides it [default: the user of this shell].")]

SignalKey: TypeAlias = Annotated[
    str | None, Parameter(help="A key of yours: the same signal with the same key is recorded once.")
]


def between(least: float, most: float) -> Callable[[Any, Any], None]:
    """Return a validator of an option: a number from `least` to `most`, so neither NaN nor infinite."""

    def validate(_: Any, value: Any) -> None:
        if value is not None and not least <= value <= most:
            raise ValueError(f"Must be from {least:,} to {most:,}.")

    return validate


POSITION = between(0, INTEGER_MAX)
"""The bounds of a position of the log, or of a version."""
WAIT_SECONDS = between(0, SECONDS_MAX)


def stated(reason: str) -> str:
    """Return a reason that says something. Raises `UsageError` for an empty one."""
    if not reason.strip():
        raise UsageError("--reason is empty: say why, for the audit of this saga")
    return reason


def read_json(option: str, text: str | None) -> Any:
    """Return the JSON value of an option; None without one. Raises `UsageError` for any other text."""
    return None if text is None else decode_json(option, text.encode())


def decode_json(source: str, content: bytes) -> Any:
    """Return the JSON value of some bytes, which may begin with a byte order mark.

    `source` names where they are from. Raises `UsageError` for bytes that are no JSON in UTF-8, or nest too deeply.
    """
    try:
        return msgspec.json.decode(content.removeprefix(UTF8_MARK))
    except msgspec.DecodeError as error:
        raise UsageError(f"{source} is not JSON: {error}") from error
    except UnicodeDecodeError as error:
        raise UsageError(
            f"{source} is not UTF-8 ({error.reason}): convert it, for example with iconv -f ISO-8859-1 -t UTF-8"
        ) from error
    except RecursionError as error:
        raise UsageError(f"{source} nests too deeply: store it elsewhere and pass a reference") from error
