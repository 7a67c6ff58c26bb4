"""What can go wrong between the log and a broker."""

from __future__ import annotations

from ....domain.errors import SagaledgerError
from ...errors import Unavailable


class BrokerUnavailable(Unavailable):
    """The broker cannot be reached now. Nothing is lost: the log has every event, and they are sent again."""


class MessageRejected(SagaledgerError):
    """A message of the broker is not an event of this ledger's log, as it claims."""
