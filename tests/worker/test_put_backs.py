"""A saga that a worker cannot read goes back to the work queue, each time for longer."""

from __future__ import annotations

from typing import Any

import pytest

from sagaledger.infrastructure.errors import SupersededWorker, Unavailable
from sagaledger.infrastructure.event_store.append_call import AppendCall, Receipt
from sagaledger.infrastructure.event_store.backend import Backend
from sagaledger.infrastructure.ledger.ledger import Ledger
from sagaledger.infrastructure.runtime.clock import SYSTEM_CLOCK
from sagaledger.infrastructure.worker.coordination import put_backs as module
from sagaledger.infrastructure.worker.coordination.lease import Lease
from sagaledger.infrastructure.worker.coordination.put_backs import PUT_BACK_SECONDS_MAX, PutBacks
from sagaledger.infrastructure.worker.engine import Engine

from .conftest import OpenLedger
from .goods import goods_app


class AwayOnce:
    """A log that is away for its first append."""

    def __init__(self, log: Backend) -> None:
        self._log = log
        self._is_away = True

    def __getattr__(self, name: str) -> Any:
        return getattr(self._log, name)

    def append(self, call: AppendCall) -> Receipt:
        if self._is_away:
            self._is_away = False
            raise Unavailable("the server restarts")
        return self._log.append(call)


@pytest.fixture
def ledger(open_ledger: OpenLedger) -> Ledger:
    return open_ledger(goods_app())


@pytest.fixture
def lease(ledger: Ledger) -> Lease:
    return Lease(ledger.backend, 60.0, SYSTEM_CLOCK)


def put_back(put_backs: PutBacks, ledger: Ledger, lease: Lease, saga_id: str = "filling-1") -> int:
    """Put a saga back; returns after how many seconds it is due again."""
    put_backs.add(saga_id, "filling", 1, "an event of a newer version")
    put_backs.flush()
    [due_at] = [entry.due_at for entry in ledger.backend.entries() if entry.saga_id == saga_id]
    assert due_at is not None
    return round((due_at - lease.now()).total_seconds())


def test_a_saga_that_comes_back_again_and_again_waits_longer(ledger: Ledger, lease: Lease) -> None:
    """Up to a limit, and from the beginning once it could be read."""
    put_backs = PutBacks(ledger.backend, lease)

    assert [put_back(put_backs, ledger, lease) for _ in range(7)] == [1, 2, 4, 8, 16, PUT_BACK_SECONDS_MAX, 30]
    put_backs.readable("filling-1")
    assert put_back(put_backs, ledger, lease) == 1
    assert [entry.worker_id for entry in ledger.backend.entries()] == [None]


def test_a_bounded_number_of_sagas_is_remembered(ledger: Ledger, lease: Lease, monkeypatch: pytest.MonkeyPatch) -> None:
    """Those that came back last; one that is forgotten begins with the shortest wait."""
    monkeypatch.setattr(module, "REMEMBERED_MAX", 2)
    put_backs = PutBacks(ledger.backend, lease)
    for saga_id in ("a", "b", "a", "c"):
        put_back(put_backs, ledger, lease, saga_id)

    assert put_back(put_backs, ledger, lease, "a") == 4
    assert put_back(put_backs, ledger, lease, "b") == 1


def test_what_was_not_put_back_is_put_back_by_the_next_try(ledger: Ledger, lease: Lease) -> None:
    """The database may be away, and nothing is written twice."""
    put_backs = PutBacks(AwayOnce(ledger.backend), lease)  # type: ignore[arg-type]
    put_backs.add("filling-1", "filling", 1, "why")

    with pytest.raises(Unavailable):
        put_backs.flush()
    assert ledger.backend.entries() == []

    put_backs.flush()
    [entry] = ledger.backend.entries()
    put_backs.flush()
    assert ledger.backend.entries() == [entry]


def test_a_superseded_worker_puts_nothing_back(ledger: Ledger, lease: Lease) -> None:
    """Another worker may hold the saga by then."""
    put_backs = PutBacks(ledger.backend, lease)
    put_backs.add("filling-1", "filling", 1, "why")
    lease.retire()

    with pytest.raises(SupersededWorker):
        put_backs.flush()

    assert ledger.backend.entries() == []


def test_what_a_worker_held_before_its_new_lease_is_not_put_back(ledger: Ledger) -> None:
    """With the lease it lost the right to it."""
    engine = Engine(ledger.context, concurrency=10, lease_seconds=60.0)
    engine._put_backs.add("filling-1", "filling", 1, "why")
    ledger.backend.retire(engine._lease.token)

    for _ in range(3):
        engine.turn([])

    assert ledger.backend.entries() == []
    engine.finish()
