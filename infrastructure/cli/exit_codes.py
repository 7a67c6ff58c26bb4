"""Exit codes: what the end of a command means to the shell. They are a public format, as stored names are."""

from __future__ import annotations

from enum import IntEnum

from ...domain.errors import SagaledgerError


class ExitCode(IntEnum):
    """How a command ended."""

    OK = 0
    FAILED = 1
    """A saga that was waited for did not complete, or one of many decisions failed."""
    USAGE = 2
    """The command, its input or its file cannot be used as given."""
    NOT_FOUND = 3
    CONFLICT = 4
    """Something else is in the way, or the saga's state does not allow it."""
    UNAVAILABLE = 5
    """The database cannot be used now, or not by this version."""
    VERIFICATION_FAILED = 6
    INTERNAL = 70
    """An error in sagaledger itself (`EX_SOFTWARE` of sysexits.h)."""
    TIMED_OUT = 124
    """As timeout(1) exits."""
    INTERRUPTED = 130
    """As a shell reports SIGINT."""


def exit_code_of(error: SagaledgerError) -> ExitCode:
    """Return the exit code of an error's category: they have the same names."""
    from ..ledger.error_categories import category_of

    return ExitCode[category_of(error).name]
