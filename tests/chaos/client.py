"""The client: starts sagas, and keeps a ledger of its own of what was acknowledged to it."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from datetime import UTC, datetime
from functools import partial
from time import monotonic, sleep
from typing import NamedTuple
from uuid import uuid4

from sagaledger import Ledger, Meta, OutcomeUnknown, Unavailable
from sagaledger.domain.shop import OpenStock
from sagaledger.infrastructure.event_store.append_call import AppendCall, Appended
from sagaledger.infrastructure.ledger.stream_cache import StreamCache

from .app import APP
from .orders import Wish

log = logging.getLogger(__name__)

PATIENCE_SECONDS = 120.0
RETRY_SECONDS = 0.1
COMMANDS_MAX = 1_000
"""The most commands of one append."""


class Acknowledgement(NamedTuple):
    """The ledger's word that a saga is on record, and where."""

    saga_id: str
    position: int


class Client:
    """Starts sagas through the same broken connections as the workers."""

    def __init__(self, url: str) -> None:
        self._ledger = Ledger.open(url, APP)
        self.acknowledged: list[Acknowledgement] = []
        self.refused = 0
        """How often the database could not be used, or did not say whether it had written."""

    def close(self) -> None:
        """Let go of the database."""
        self._ledger.close()

    def stock(self, commands: Sequence[OpenStock]) -> None:
        """Put goods on the shelves, before anything breaks."""
        stream_cache = StreamCache(APP, self._ledger.backend, self._ledger.context.codec)
        for begin in range(0, len(commands), COMMANDS_MAX):
            draft = stream_cache.draft("campaign-stock", Meta(actor="campaign"))
            stream_cache.build([partial(draft.handle, commands[begin : begin + COMMANDS_MAX], datetime.now(UTC))])
            [outcome] = self._ledger.backend.append(AppendCall(uuid4(), [draft.append()])).outcomes
            assert isinstance(outcome, Appended)

    def start(self, wishes: Sequence[Wish]) -> None:
        """Start sagas one after the other, each until it is acknowledged."""
        for wish in wishes:
            self._start(wish)

    def _start(self, wish: Wish) -> None:
        deadline = monotonic() + PATIENCE_SECONDS
        while True:
            try:
                started = self._ledger.start(wish.definition, wish.value, key=wish.key, actor="campaign")
            except (Unavailable, OutcomeUnknown):
                self.refused += 1
                if monotonic() > deadline:
                    raise
                sleep(RETRY_SECONDS)
            else:
                self.acknowledged.append(Acknowledgement(started.saga_id, started.position))
                return
