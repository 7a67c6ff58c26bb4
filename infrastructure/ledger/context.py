"""What everything that works on one open ledger shares: its database, its app, and how its events are read."""

from __future__ import annotations

from copy import copy
from typing import Protocol, Self

from ..event_store.backend import Backend
from ..event_store.codec import Codec
from ..read_models.projector import Projector
from ..read_models.queries import Queries
from ..runtime.clock import SYSTEM_CLOCK, Clock
from ..runtime.observer import Observer
from .app import App
from .definition_versions import DefinitionVersions
from .outage_logs import OutageLogs
from .write_request import WriteRequest


class LedgerContext:
    """One open ledger, as the rooms below the facade see it. Safe to share between threads."""

    def __init__(
        self, backend: Backend, app: App, *, clock: Clock = SYSTEM_CLOCK, observer: Observer | None = None
    ) -> None:
        self.backend = backend
        self.app = app
        self.clock = clock
        self.observer = observer
        """What is told of what happens; None: telemetry is off."""
        self.codec = Codec(app.registry, app.choreographies)
        self.queries = Queries(backend, app.projections)
        self.definition_versions = DefinitionVersions(backend)
        self.outages = OutageLogs(clock.monotonic)
        self.request: WriteRequest | None = None
        """The request on whose behalf `transact` appends, if a repeat of it must find the first append."""

    @property
    def context(self) -> LedgerContext:
        """The context itself, so that a context serves wherever a ledger does."""
        return self

    def on_behalf_of(self, request: WriteRequest) -> Self:
        """The same ledger, for one request: what is appended through it is appended once, however often it is asked."""
        mine = copy(self)
        mine.request = request
        return mine

    def projector(self) -> Projector:
        """A projector that keeps this ledger's views up with its log."""
        outage, observer = self.outages.database, self.observer
        return Projector(self.backend, self.codec, self.app.projections, outage=outage, observer=observer)

    def close(self) -> None:
        """Release the database."""
        self.backend.close()


class HasContext(Protocol):
    """An open ledger: the facade, or its context."""

    @property
    def context(self) -> LedgerContext:
        """What everything that works on the ledger shares."""
        ...
