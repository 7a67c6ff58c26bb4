"""Contention: of two workers that decide on the same shelf, the younger gives way."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from time import monotonic

import pytest

from sagaledger.domain.saga.state import Status
from sagaledger.infrastructure.event_store.work_queue import FencingToken
from sagaledger.infrastructure.ledger.ledger import Ledger
from sagaledger.infrastructure.worker.engine import Engine
from sagaledger.infrastructure.worker.group_commit import pipeline

from .conftest import PATIENCE_SECONDS
from .goods import FILLING, TAKING, Fill, Take, goods_app

SAGAS = 400
HELD = 40


@contextmanager
def _engine(url: str, handed_back: list[str]) -> Iterator[Engine]:
    """Opens a worker's engine, and records the sagas that it hands back."""
    with pytest.MonkeyPatch.context() as patch, Ledger.open(url, goods_app()) as ledger:
        release = ledger.backend.release

        def released(epoch: FencingToken, saga_ids: Sequence[str]) -> None:
            handed_back.extend(saga_ids)
            release(epoch, saga_ids)

        patch.setattr(ledger.backend, "release", released)
        engine = Engine(ledger.context, concurrency=HELD, lease_seconds=60)
        yield engine
        engine.finish()


def test_the_younger_hands_back_what_it_has_not_begun(postgres_url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Each takes its share at first; after contention the older goes on alone, and every saga ends."""
    monkeypatch.setattr(pipeline, "BATCH_SAGAS_WHOLE", 1)  # half of what is held waits for the next batch
    by_the_older: list[str] = []
    by_the_younger: list[str] = []
    with Ledger.open(postgres_url, goods_app(), create=True) as ledger:
        ledger.start(FILLING, [Fill("a", SAGAS)])
        taking = [ledger.start(TAKING, [Take("a", 1)], key=str(number)).saga_id for number in range(SAGAS)]

        with _engine(postgres_url, by_the_older) as older, _engine(postgres_url, by_the_younger) as younger:
            deadline = monotonic() + PATIENCE_SECONDS
            while ledger.backend.entries():
                assert monotonic() < deadline, "waited too long"
                for _ in range(3):  # more often than the other, whose drafts rest on old versions therefore
                    older.turn([])
                younger.turn([])

        assert by_the_older == []
        assert set(by_the_younger) <= set(taking)
        assert by_the_younger
        assert {state.status for state in ledger.states(taking)} == {Status.COMPLETED}
        assert [row.topic for row in ledger.backend.stream("shelf-a")].count("PiecesTaken") == SAGAS
