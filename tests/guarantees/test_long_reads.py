"""G7: a worker whose reads take longer than its lease keeps the lease, and finishes."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from datetime import UTC, datetime
from threading import Event, Thread
from time import sleep

import pytest

from sagaledger import Ledger, SagaState, Worker
from sagaledger.domain.shop import Order, OrderLine, fulfil_order
from sagaledger.infrastructure.event_store.connect import open_backend
from sagaledger.infrastructure.event_store.event_row import StoredRow
from sagaledger.infrastructure.shop.app import APP

PATIENCE_SECONDS = 30.0
LEASE_SECONDS = 1.0
ARTICLES = 400
READ_SECONDS_PER_STREAM = 0.006
"""All articles together take more than two leases to read."""
LOOK_SECONDS = 0.1


def test_a_lease_outlives_the_reading_of_many_streams(postgres_url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """A slow database, an order of many articles, and processes that end expired leases: one worker does it, once."""
    lines = tuple(OrderLine(f"SKU-{number}", 1, 100) for number in range(ARTICLES))
    order = Order("1", datetime.now(UTC), lines)
    with Ledger.open(postgres_url, APP, create=True) as ledger:
        read = ledger.backend.streams

        def read_slowly(after: Sequence[tuple[str, int]]) -> list[StoredRow]:
            sleep(len(after) * READ_SECONDS_PER_STREAM)
            return read(after)

        monkeypatch.setattr(ledger.backend, "streams", read_slowly)

        async def scene() -> SagaState:
            async with (
                asyncio.timeout(PATIENCE_SECONDS),
                Worker(ledger, lease_seconds=LEASE_SECONDS, project=False) as worker,
            ):
                return await worker.outcome((await worker.start(fulfil_order, order)).saga_id)

        stop = Event()
        others = Thread(target=_look_for_the_dead, args=(postgres_url, stop))
        others.start()
        try:
            state = asyncio.run(scene())
        finally:
            stop.set()
            others.join()

        history = ledger.history(state.saga_id)

    assert state.status == "compensated"  # there was no stock
    assert len({recorded.meta.epoch for recorded in history}) == 1


def _look_for_the_dead(url: str, stop: Event) -> None:
    """End expired leases again and again, like other workers."""
    other = open_backend(url)
    while not stop.wait(LOOK_SECONDS):
        other.take_over()
    other.close()
