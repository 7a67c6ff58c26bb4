"""The contract of the due work and of workers' leases, on every backend."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

import pytest

from sagaledger.infrastructure.errors import SupersededWorker, WorkerRunning
from sagaledger.infrastructure.event_store.connect import open_backend
from sagaledger.infrastructure.event_store.port import Append, Backend, Claim, FencingToken, QueueEntry

if TYPE_CHECKING:
    from .conftest import Pen

TRIP = [("trip", 1)]


@pytest.fixture
def worker(log: Backend) -> FencingToken:
    return log.register(host="here", pid=7, lease_seconds=60)


def hours(number: float) -> datetime:
    return datetime.now(UTC) + timedelta(hours=number)


def test_what_is_due_is_claimed_earliest_first_and_once(log: Backend, worker: FencingToken, pen: Pen) -> None:
    """Only sagas that are due, of definitions that the worker knows; none is given twice."""
    log.put_due(
        [
            pen.due("late", at=hours(-1)),
            pen.due("early", at=hours(-2)),
            pen.due("future", at=hours(1)),
            QueueEntry("other", "voyage", 1, hours(-3), None),
            QueueEntry("newer", "trip", 2, hours(-3), None),
        ]
    )

    claims = [log.claim(worker, definitions=TRIP, limit=1), log.claim(worker, definitions=TRIP, limit=9)]

    assert claims == [[Claim("early", "trip", 1)], [Claim("late", "trip", 1)]]
    assert log.claim(worker, definitions=TRIP, limit=9) == []
    assert [row.worker_id for row in log.due()] == [worker.worker_id, None, worker.worker_id, None, None]


def test_of_several_definitions_the_earliest_due_is_claimed(log: Backend, worker: FencingToken, pen: Pen) -> None:
    """Whatever its definition: none is served before another."""
    log.put_due([pen.due("third", at=hours(-2)), QueueEntry("second", "voyage", 1, hours(-3), None)])
    log.put_due([pen.due("first", at=hours(-4)), QueueEntry("fourth", "voyage", 1, hours(-1), None)])

    claims = [log.claim(worker, definitions=[*TRIP, ("voyage", 1)], limit=3) for _ in range(2)]

    assert [[claim.saga_id for claim in claimed] for claimed in claims] == [["first", "second", "third"], ["fourth"]]


def test_something_stirs_while_it_can_be_claimed_or_was_nudged(log: Backend, worker: FencingToken, pen: Pen) -> None:
    """Not for what is due later, is held, or is of a definition that the worker does not know."""
    log.put_due(
        [
            pen.due("future", at=hours(1)),
            pen.due("held", at=hours(-1), worker_id=worker.worker_id),
            QueueEntry("other", "voyage", 1, hours(-3), None),
        ]
    )
    assert not log.has_work(worker, definitions=TRIP)

    log.append(pen.call(Append(pen.events("held", 1), notify=[pen.due("held")])))
    assert log.has_work(worker, definitions=TRIP)
    assert log.notified(worker) == ["held"]
    assert not log.has_work(worker, definitions=TRIP)

    log.put_due([pen.due("late", at=hours(-1))])
    assert log.has_work(worker, definitions=TRIP)
    assert [claim.saga_id for claim in log.claim(worker, definitions=TRIP, limit=9)] == ["late"]
    assert not log.has_work(worker, definitions=TRIP)


def test_due_changes_are_written_with_their_append(log: Backend, worker: FencingToken, pen: Pen) -> None:
    """Started by one append, held by its writer, gone with the last one."""
    started = Append(pen.events("t", 1), due=pen.due("t", worker_id=worker.worker_id))
    log.append(pen.call(started, epoch=worker))
    assert log.due() == [pen.due("t", worker_id=worker.worker_id)]
    assert log.claim(worker, definitions=TRIP, limit=9) == []

    log.append(pen.call(Append(pen.events("t", 2), due=pen.due("t", at=None)), epoch=worker))

    assert log.due() == []


def test_of_two_changes_of_one_saga_in_a_call_the_later_one_counts(log: Backend, pen: Pen) -> None:
    """As if they had come one by one."""
    at = hours(1)
    log.append(
        pen.call(
            Append(pen.events("t", 1), due=pen.due("t")),
            Append(pen.events("t", 2), due=pen.due("t", at=None)),
            Append(pen.events("t", 3), due=pen.due("t", at=at)),
        )
    )

    assert log.due() == [pen.due("t", at=at)]


def test_a_conflict_changes_no_due_work_but_its_neighbours_do(log: Backend, pen: Pen) -> None:
    """The due change goes with its own append, and so does the nudge."""
    lost = Append(pen.events("t", 5), due=pen.due("t"), notify=[pen.due("other")])

    log.append(pen.call(lost, Append(pen.events("u", 1), due=pen.due("u"))))

    assert [row.saga_id for row in log.due()] == ["u"]


def test_a_nudge_makes_a_free_saga_due_now_and_creates_one_that_is_not_there(
    log: Backend, worker: FencingToken, pen: Pen
) -> None:
    """A cancel reaches a saga that waits, and one that is parked."""
    log.put_due([pen.due("waits", at=hours(5))])

    log.append(pen.call(Append(pen.events("waits", 1), notify=[pen.due("waits", at=None), pen.due("parked")])))

    assert {claim.saga_id for claim in log.claim(worker, definitions=TRIP, limit=9)} == {"waits", "parked"}


def test_a_nudge_tells_the_holder_once(log: Backend, worker: FencingToken, pen: Pen) -> None:
    """Whoever holds the saga keeps it, and learns that someone wrote to its stream."""
    log.put_due([pen.due("held", worker_id=worker.worker_id)])
    assert log.notified(worker) == []

    log.append(pen.call(Append(pen.events("held", 1), notify=[pen.due("held")])))

    assert log.notified(worker) == ["held"]
    assert log.notified(worker) == []
    assert log.due()[0].worker_id == worker.worker_id


def test_nobody_sleeps_through_a_nudge(log: Backend, worker: FencingToken, pen: Pen) -> None:
    """A saga that is nudged while its holder puts it to sleep is due at once."""
    log.put_due([pen.due("t", worker_id=worker.worker_id)])
    log.append(pen.call(Append(pen.events("t", 1), notify=[pen.due("t")])))

    log.append(pen.call(Append(pen.events("t", 2), due=pen.due("t", at=hours(9))), epoch=worker))

    assert [claim.saga_id for claim in log.claim(worker, definitions=TRIP, limit=9)] == ["t"]
    assert log.notified(worker) == []


def test_a_saga_that_is_over_but_was_nudged_is_looked_at_once_more(
    log: Backend, worker: FencingToken, pen: Pen
) -> None:
    """Its holder parked it without having seen who wrote to it: free, due at once, and gone the next time."""
    log.put_due([pen.due("t", at=hours(9), worker_id=worker.worker_id)])
    log.append(pen.call(Append(pen.events("t", 1), notify=[pen.due("t")])))

    log.append(pen.call(Append(pen.events("t", 2), due=pen.due("t", at=None)), epoch=worker))

    assert [claim.saga_id for claim in log.claim(worker, definitions=TRIP, limit=9)] == ["t"]
    log.put_due([pen.due("t", at=None)])
    assert log.due() == []


def test_a_released_saga_stays_due(log: Backend, worker: FencingToken, pen: Pen) -> None:
    """Given back, it can be claimed again; what another holds cannot be given back."""
    log.put_due([pen.due("mine"), pen.due("theirs", worker_id="someone")])
    log.claim(worker, definitions=TRIP, limit=9)

    log.release(worker, ["mine", "theirs"])

    assert [(row.saga_id, row.worker_id) for row in log.due()] == [("mine", None), ("theirs", "someone")]


def test_a_worker_shows_with_its_lease_and_what_it_holds(log: Backend, worker: FencingToken, pen: Pen) -> None:
    """Its place, its process, until when, and how many sagas."""
    log.put_due([pen.due("a", worker_id=worker.worker_id), pen.due("b")])

    (shown,) = log.workers()

    assert (shown.worker_id, shown.epoch, shown.host, shown.pid, shown.sagas) == (*worker, "here", 7, 1)
    assert timedelta(seconds=59) < shown.lease_until - shown.started_at < timedelta(seconds=61)


def test_a_retired_worker_leaves_its_sagas_to_others(log: Backend, worker: FencingToken, pen: Pen) -> None:
    """Its lease is gone: it may neither renew nor claim. The next one has a higher epoch."""
    log.put_due([pen.due("a", worker_id=worker.worker_id)])

    log.retire(worker)

    with pytest.raises(SupersededWorker):
        log.renew(worker, lease_seconds=60)
    with pytest.raises(SupersededWorker):
        log.claim(worker, definitions=TRIP, limit=9)
    following = log.register(host="here", pid=8, lease_seconds=60)
    assert following.epoch > worker.epoch
    assert [claim.saga_id for claim in log.claim(following, definitions=TRIP, limit=9)] == ["a"]


def test_a_lease_that_ran_out_is_taken_over(postgres_url: str, pen: Pen) -> None:
    """Its sagas are free, and its worker writes no more; one that renewed is left alone."""
    log = open_backend(postgres_url, create=True)
    dead = log.register(host="there", pid=1, lease_seconds=0)
    alive = log.register(host="here", pid=2, lease_seconds=0)
    log.renew(alive, lease_seconds=60)
    log.put_due([pen.due("a", worker_id=dead.worker_id), pen.due("b", worker_id=alive.worker_id)])

    assert log.take_over() == [dead.worker_id]

    assert [(row.saga_id, row.worker_id) for row in log.due()] == [("a", None), ("b", alive.worker_id)]
    with pytest.raises(SupersededWorker):
        log.append(pen.call(pen.append("a", 1), epoch=dead))
    assert log.take_over() == []
    log.close()


def test_a_sqlite_file_takes_one_worker_until_it_is_gone(sqlite_url: str, pen: Pen) -> None:
    """The second is refused while the first lives; when it dies, its lease and its hold die with it."""
    first, second = open_backend(sqlite_url), open_backend(sqlite_url)
    epoch = first.register(host="h", pid=1, lease_seconds=60)
    first.put_due([pen.due("a", worker_id=epoch.worker_id)])
    with pytest.raises(WorkerRunning, match=r"ledger\.db-worker"):
        second.register(host="h", pid=2, lease_seconds=60)

    first.close()  # as its death would: the operating system drops the lock, the row stays

    following = second.register(host="h", pid=2, lease_seconds=60)
    assert [worker.epoch for worker in second.workers()] == [following.epoch]
    assert [claim.saga_id for claim in second.claim(following, definitions=TRIP, limit=9)] == ["a"]
    with pytest.raises(SupersededWorker):
        second.append(pen.call(pen.append("a", 1), epoch=epoch))
    second.close()
