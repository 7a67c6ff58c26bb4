"""The port to start requests: sagas that other programs ask for in their own transactions, where a database allows it.

A request commits or rolls back with its transaction. A worker then takes it and starts the saga; the saga's id makes
that happen once, however many workers try. A request that cannot be granted stays, with the reason.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any, Final, NamedTuple, Protocol

from .work_queue import FencingToken

UNBOUNDED: Final = (datetime.min.replace(tzinfo=UTC), datetime.max.replace(tzinfo=UTC))
"""What stands for a stored time before and after every time of the calendar, such as an infinity of PostgreSQL."""


class NewStartRequest(NamedTuple):
    """A request as its writer sends it."""

    saga_id: str
    definition: str
    definition_version: int
    fingerprint: str
    input: bytes
    """UTF-8 JSON."""
    begins_at: datetime | None
    actor: str | None


class StartRequest(NamedTuple):
    """A request as it is stored, until a worker has started its saga."""

    request_id: int
    saga_id: str
    definition: str
    definition_version: int
    fingerprint: str
    input: bytes
    begins_at: datetime | None
    actor: str | None
    requested_at: datetime
    refused_at: datetime | None
    reason: str | None
    """Why it was refused; None if it was not."""


class StartRequestOutcome(NamedTuple):
    """The outcome of a request: the saga exists (`refusal` is None), or the reason why not."""

    request_id: int
    refusal: str | None


class StartRequests(Protocol):
    """The start requests of a ledger."""

    def put(self, connection: Any, request: NewStartRequest) -> None:
        """Write a request in the transaction of the caller's own connection to the ledger's database.

        Raises `InvalidInput` for an object that is no such connection, `NotALedger` for one to another database.
        """
        ...

    async def put_async(self, connection: Any, request: NewStartRequest) -> None:
        """Do the same in the transaction of an asynchronous connection, on the event loop that it belongs to."""
        ...

    def take(self, token: FencingToken, *, definitions: Sequence[tuple[str, int]], limit: int) -> list[StartRequest]:
        """Take up to `limit` requests for these definitions that no living worker has taken, oldest first."""
        ...

    def release(self, token: FencingToken) -> None:
        """Give back every request that this worker has taken, so that any worker may take it."""
        ...

    def settle(self, outcomes: Sequence[StartRequestOutcome]) -> None:
        """Delete the requests whose sagas exist, and mark the refused ones."""
        ...

    def listed(self, *, limit: int) -> list[StartRequest]:
        """Return the requests that are open or were refused, oldest first."""
        ...
