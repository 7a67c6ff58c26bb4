"""Counting sagas by the log: each version's, those that have not ended, and the newest ones."""

from __future__ import annotations

from typing import Any

from sagaledger import App, Ledger, Retry, Saga
from sagaledger.infrastructure.ledger.saga_census import take_census

from ..worker.conftest import play, worker_on


def fail(*_: Any) -> None:
    raise OSError("down")


stuck = Saga("stuck", input=int)
stuck.step(name="pay", pivot=True, retry=Retry(attempts=1))(fail)
waiting = Saga("waiting", version=3, input=int)
waiting.wait_for("word")
done = Saga("done", input=int)
done.step(name="note", compensable=False)(lambda *_: None)


def test_every_end_of_a_saga_counts(sqlite_url: str) -> None:
    """Completed, compensated after a cancellation, and abandoned by a person."""
    with Ledger.open(sqlite_url, App(sagas=[stuck, waiting, done])) as ledger:

        async def scene() -> None:
            async with worker_on(ledger) as worker:
                await worker.idle()

        for key in "123":
            for saga in (stuck, waiting, done):
                ledger.start(saga, 1, key=key)
        play(scene())
        ledger.intervene("stuck-1", "abandon", actor="ann", reason="gone")
        ledger.intervene("stuck-2", "retry", actor="ann", reason="again")
        ledger.cancel("waiting-1", actor="ann", reason="gone")
        play(scene())

        census = take_census(ledger.context, newest=2)

    assert census.sagas == {("stuck", 1): 3, ("waiting", 3): 3, ("done", 1): 3}
    assert census.unfinished == {("stuck", 1): 2, ("waiting", 3): 2}
    assert census.newest == [("done-3", ("done", 1)), ("waiting-3", ("waiting", 3))]
