"""The errors of a file of orders as a whole; a single bad line is rejected, and is no error."""

from __future__ import annotations

from ....domain.errors import InvalidInput, SagaledgerError


class OrderFileError(InvalidInput):
    """The file, or an option that says how to read it, cannot be used at all."""


class LineRejected(SagaledgerError):
    """A line cannot be part of an order or a return; the message is its reason in the report of rejects."""
