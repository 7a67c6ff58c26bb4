"""The error of a command line that cannot be used."""

from __future__ import annotations

from ...domain.errors import InvalidInput


class UsageError(InvalidInput):
    """An argument or an option has a value that its command cannot use."""
