"""Exit codes: what a command's end means to the shell. They are a public format, as stored names are."""

from __future__ import annotations

from enum import IntEnum


class ExitCode(IntEnum):
    """How a command ended."""

    OK = 0
    FAILED = 1
    """The saga did not complete."""
    USAGE = 2
    """The command, its input or its file cannot be used as given."""
    NOT_FOUND = 3
    CONFLICT = 4
    """Something else is there already, or the thing is in a state in which this cannot be done."""
    UNAVAILABLE = 5
    """The database cannot be used now, or not by this version."""
    VERIFICATION_FAILED = 6
    INTERNAL = 70
    """An error that nobody foresaw (`EX_SOFTWARE` of sysexits.h)."""
    TIMED_OUT = 124
    """As timeout(1) exits."""
    INTERRUPTED = 130
    """As a shell reports SIGINT."""
