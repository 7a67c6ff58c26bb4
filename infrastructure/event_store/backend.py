"""A backend: one database that holds a ledger, behind all of the ports. `docs/backends.md` says how to write one."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

from .definition_registry import DefinitionRegistry
from .event_log import EventLog
from .start_requests import StartRequests
from .work_queue import WorkQueue

if TYPE_CHECKING:  # importing SQLAlchemy takes a while, and a command that reads no view does not need it
    from .view_store import ViewStore


class Backend(EventLog, WorkQueue, DefinitionRegistry, Protocol):
    """A database that holds a ledger."""

    @property
    def name(self) -> str:
        """What messages call the database: its URL without the password."""
        ...

    @property
    def url(self) -> str:
        """The URL by which another process opens the same ledger; messages use `name`.

        Raises `NotSupported` if no other process can open it.
        """
        ...

    @property
    def start_requests(self) -> StartRequests | None:
        """Requests to start sagas, written in other programs' transactions; None if the database cannot share them."""
        ...

    @property
    def views(self) -> ViewStore:
        """The database in which the views live; opened when it is first asked for."""
        ...

    def schema_problems(self) -> list[str]:
        """Say what the schema lacks of what its version has, such as a trigger that protects the log.

        Empty if there is nothing. A database without a schema has nothing to lack.
        """
        ...

    def close(self) -> None:
        """Release every connection and lock."""
        ...
