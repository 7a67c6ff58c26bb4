"""What can go wrong with a file of orders as a whole; a single bad line is rejected, not an error."""

from __future__ import annotations

from ....domain.errors import SagaledgerError


class OrderFileError(SagaledgerError):
    """The file cannot be taken in at all."""


class LineRejected(SagaledgerError):
    """A line cannot be part of an order or a return; the message is the reason in the report of rejects."""
