"""What the user typed cannot be used."""

from __future__ import annotations

from ...domain.errors import SagaledgerError


class UsageError(SagaledgerError):
    """An argument or an option has a value that this command cannot use."""
