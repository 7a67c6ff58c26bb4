"""Requests: sagas that somebody asked for inside a transaction of their own, on a database where that is possible.

A request commits or rolls back with its transaction. A worker takes it from there and starts the saga; the saga's id
makes that happen once, however many workers try. A request that cannot be granted stays, with the reason.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Any, NamedTuple, Protocol

from .port import Epoch


class NewRequest(NamedTuple):
    """A saga that is asked for."""

    saga_id: str
    definition: str
    definition_version: int
    fingerprint: str
    input: bytes
    """UTF-8 JSON."""
    begins_at: datetime | None
    actor: str | None


class Request(NamedTuple):
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


class Answer(NamedTuple):
    """What became of a request: the saga is there, or the reason why not."""

    request_id: int
    refusal: str | None


class Requests(Protocol):
    """The requests of a ledger."""

    def put(self, connection: Any, request: NewRequest) -> None:
        """Write a request in the transaction of a connection that is the caller's, to the ledger's own database.

        Raises `InvalidInput` for something that is no such connection, and `NotOurs` for one to another database.
        """
        ...

    def take(self, epoch: Epoch, *, definitions: Sequence[tuple[str, int]], limit: int) -> list[Request]:
        """Up to `limit` requests for sagas of these definitions that no living worker has taken, oldest first."""
        ...

    def release(self, epoch: Epoch) -> None:
        """Give back all that this worker has taken, for one that does not know what that is; it may be taken again."""
        ...

    def settle(self, answers: Sequence[Answer]) -> None:
        """Remove the requests whose sagas are there, and mark the refused ones."""
        ...

    def listed(self, *, limit: int) -> list[Request]:
        """The requests that are open or were refused, oldest first."""
        ...
