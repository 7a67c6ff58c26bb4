"""Requests: sagas that somebody asked for inside a transaction of their own, on a database where that is possible.

A request commits or rolls back with its transaction. A worker takes it from there and starts the saga; the saga's id
makes that happen once, however many workers try. A request that cannot be granted stays, with the reason.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Any, NamedTuple, Protocol

from .work_queue import FencingToken


class NewStartRequest(NamedTuple):
    """A saga that is asked for."""

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
    """Why it was refused; None if it is not."""


class StartRequestOutcome(NamedTuple):
    """What became of a request: the saga is there, or the reason why not."""

    request_id: int
    refusal: str | None


class StartRequests(Protocol):
    """The requests of a ledger."""

    def put(self, connection: Any, request: NewStartRequest) -> None:
        """Write a request in the transaction of a connection that is the caller's, to the ledger's own database.

        Raises `InvalidInput` for something that is no such connection, and `NotALedger` for one to another database.
        """
        ...

    def take(self, epoch: FencingToken, *, definitions: Sequence[tuple[str, int]], limit: int) -> list[StartRequest]:
        """Up to `limit` requests for sagas of these definitions that no living worker has taken, oldest first."""
        ...

    def release(self, epoch: FencingToken) -> None:
        """Give back all that this worker has taken, for one that does not know what that is; it may be taken again."""
        ...

    def settle(self, answers: Sequence[StartRequestOutcome]) -> None:
        """Remove the requests whose sagas are there, and mark the refused ones."""
        ...

    def listed(self, *, limit: int) -> list[StartRequest]:
        """The requests that are open or were refused, oldest first."""
        ...
