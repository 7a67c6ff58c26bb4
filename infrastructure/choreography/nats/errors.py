"""What can go wrong between the log and a broker."""

from __future__ import annotations

from ....domain.errors import SagaledgerError
from ...errors import Unavailable


class BrokerUnavailable(Unavailable):
    """The broker cannot be used now. Nothing is lost: the log has every event, and they are sent again."""


class NothingToRelay(Unavailable):
    """The ledger is empty: nothing tells it from another one, and there is nothing to send."""


class MessageRejected(SagaledgerError):
    """A message of the broker is not the event of this ledger's log that it claims to be."""
