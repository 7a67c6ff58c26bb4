"""The contract of the work queue and of workers' leases, on every backend."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

import pytest

from sagaledger.infrastructure.errors import SupersededWorker, WorkerRunning
from sagaledger.infrastructure.event_store.append_call import Append
from sagaledger.infrastructure.event_store.backend import Backend
from sagaledger.infrastructure.event_store.connect import open_backend
from sagaledger.infrastructure.event_store.work_queue import Claim, FencingToken, QueueEntry

from ..work_queue import put_entries

if TYPE_CHECKING:
    from .conftest import Pen

TRIP = [("trip", 1)]


@pytest.fixture
def worker(backend: Backend) -> FencingToken:
    return backend.register(host="here", pid=7, lease_seconds=60)


def hours(number: float) -> datetime:
    return datetime.now(UTC) + timedelta(hours=number)


def test_due_sagas_are_claimed_earliest_first_and_once(backend: Backend, worker: FencingToken, pen: Pen) -> None:
    """Only due sagas, of definitions that the worker knows; none is given twice."""
    put_entries(
        backend,
        [
            pen.entry("late", at=hours(-1)),
            pen.entry("early", at=hours(-2)),
            pen.entry("future", at=hours(1)),
            QueueEntry("other", "voyage", 1, hours(-3), None),
            QueueEntry("newer", "trip", 2, hours(-3), None),
        ],
    )

    claims = [backend.claim(worker, definitions=TRIP, limit=1), backend.claim(worker, definitions=TRIP, limit=9)]

    assert claims == [[Claim("early", "trip", 1)], [Claim("late", "trip", 1)]]
    assert backend.claim(worker, definitions=TRIP, limit=9) == []
    assert [row.worker_id for row in backend.entries()] == [worker.worker_id, None, worker.worker_id, None, None]
    assert [backend.entry(row.saga_id) for row in backend.entries()] == backend.entries()
    assert backend.entry("unknown") is None


def test_sagas_that_no_worker_takes_are_counted(backend: Backend, worker: FencingToken, pen: Pen) -> None:
    """By definition, with how long the first has been due; not those that are held, or due later."""
    put_entries(
        backend,
        [
            pen.entry("held", at=hours(-9)),
            pen.entry("late", at=hours(-2)),
            pen.entry("later", at=hours(-1)),
            pen.entry("future", at=hours(1)),
            QueueEntry("other", "voyage", 2, hours(-3), None),
        ],
    )
    assert backend.claim(worker, definitions=TRIP, limit=1) == [Claim("held", "trip", 1)]

    trip, voyage = backend.overdue()

    assert (trip.definition, trip.sagas, voyage.definition, voyage.sagas) == ("trip", 2, "voyage", 1)
    assert trip.oldest_seconds == pytest.approx(7_200, abs=60)
    assert voyage.oldest_seconds == pytest.approx(10_800, abs=60)


def test_of_several_definitions_the_earliest_due_is_claimed(backend: Backend, worker: FencingToken, pen: Pen) -> None:
    """No definition comes before another."""
    put_entries(backend, [pen.entry("third", at=hours(-2)), QueueEntry("second", "voyage", 1, hours(-3), None)])
    put_entries(backend, [pen.entry("first", at=hours(-4)), QueueEntry("fourth", "voyage", 1, hours(-1), None)])

    claims = [backend.claim(worker, definitions=[*TRIP, ("voyage", 1)], limit=3) for _ in range(2)]

    assert [[claim.saga_id for claim in claimed] for claimed in claims] == [["first", "second", "third"], ["fourth"]]


def test_there_is_work_while_a_saga_can_be_claimed_or_was_notified(
    backend: Backend, worker: FencingToken, pen: Pen
) -> None:
    """Not for one that is due later, or held, or of a definition that the worker does not know."""
    put_entries(
        backend,
        [
            pen.entry("future", at=hours(1)),
            pen.entry("held", at=hours(-1), worker_id=worker.worker_id),
            QueueEntry("other", "voyage", 1, hours(-3), None),
        ],
    )
    assert not backend.has_work(worker, definitions=TRIP)

    backend.append(pen.call(Append(pen.events("held", 1), notify=[pen.entry("held")])))
    assert backend.has_work(worker, definitions=TRIP)
    assert backend.notified(worker) == ["held"]
    assert not backend.has_work(worker, definitions=TRIP)

    put_entries(backend, [pen.entry("late", at=hours(-1))])
    assert backend.has_work(worker, definitions=TRIP)
    assert [claim.saga_id for claim in backend.claim(worker, definitions=TRIP, limit=9)] == ["late"]
    assert not backend.has_work(worker, definitions=TRIP)


def test_a_queue_entry_is_written_with_its_append(backend: Backend, worker: FencingToken, pen: Pen) -> None:
    """Written by the first append, held by its writer, and removed by the last one."""
    started = Append(pen.events("t", 1), queue_entry=pen.entry("t", worker_id=worker.worker_id))
    backend.append(pen.call(started, token=worker))
    assert backend.entries() == [pen.entry("t", worker_id=worker.worker_id)]
    assert backend.claim(worker, definitions=TRIP, limit=9) == []

    backend.append(pen.call(Append(pen.events("t", 2), queue_entry=pen.entry("t", at=None)), token=worker))

    assert backend.entries() == []


def test_of_two_entries_of_one_saga_in_a_call_the_later_one_counts(backend: Backend, pen: Pen) -> None:
    """As if they had been sent one by one."""
    at = hours(1)
    backend.append(
        pen.call(
            Append(pen.events("t", 1), queue_entry=pen.entry("t")),
            Append(pen.events("t", 2), queue_entry=pen.entry("t", at=None)),
            Append(pen.events("t", 3), queue_entry=pen.entry("t", at=at)),
        )
    )

    assert backend.entries() == [pen.entry("t", at=at)]


def test_a_conflict_writes_no_queue_entry_but_the_other_appends_do(backend: Backend, pen: Pen) -> None:
    """An entry belongs to its own append, and so does a notification."""
    lost = Append(pen.events("t", 5), queue_entry=pen.entry("t"), notify=[pen.entry("other")])

    backend.append(pen.call(lost, Append(pen.events("u", 1), queue_entry=pen.entry("u"))))

    assert [row.saga_id for row in backend.entries()] == ["u"]


def test_a_notification_makes_a_free_saga_due_now_and_creates_an_absent_entry(
    backend: Backend, worker: FencingToken, pen: Pen
) -> None:
    """So a cancel reaches a saga that waits, and one that is parked."""
    put_entries(backend, [pen.entry("waits", at=hours(5))])

    backend.append(pen.call(Append(pen.events("waits", 1), notify=[pen.entry("waits", at=None), pen.entry("parked")])))

    assert {claim.saga_id for claim in backend.claim(worker, definitions=TRIP, limit=9)} == {"waits", "parked"}


def test_a_notification_reaches_the_holder_once(backend: Backend, worker: FencingToken, pen: Pen) -> None:
    """The worker keeps the saga, and learns that another writer appended to its stream."""
    put_entries(backend, [pen.entry("held", worker_id=worker.worker_id)])
    assert backend.notified(worker) == []

    backend.append(pen.call(Append(pen.events("held", 1), notify=[pen.entry("held")])))

    assert backend.notified(worker) == ["held"]
    assert backend.notified(worker) == []
    assert backend.entries()[0].worker_id == worker.worker_id


def test_a_notification_is_not_lost_when_the_saga_is_delayed(backend: Backend, worker: FencingToken, pen: Pen) -> None:
    """A saga that is notified meanwhile is due at once."""
    put_entries(backend, [pen.entry("t", worker_id=worker.worker_id)])
    backend.append(pen.call(Append(pen.events("t", 1), notify=[pen.entry("t")])))

    backend.append(pen.call(Append(pen.events("t", 2), queue_entry=pen.entry("t", at=hours(9))), token=worker))

    assert [claim.saga_id for claim in backend.claim(worker, definitions=TRIP, limit=9)] == ["t"]
    assert backend.notified(worker) == []


def test_a_notification_is_not_lost_when_the_saga_is_removed(backend: Backend, worker: FencingToken, pen: Pen) -> None:
    """A saga that was parked before the notification was seen is free and due at once; the next time it is removed."""
    put_entries(backend, [pen.entry("t", at=hours(9), worker_id=worker.worker_id)])
    backend.append(pen.call(Append(pen.events("t", 1), notify=[pen.entry("t")])))

    backend.append(pen.call(Append(pen.events("t", 2), queue_entry=pen.entry("t", at=None)), token=worker))

    assert [claim.saga_id for claim in backend.claim(worker, definitions=TRIP, limit=9)] == ["t"]
    put_entries(backend, [pen.entry("t", at=None)])
    assert backend.entries() == []


def test_a_released_saga_stays_due(backend: Backend, worker: FencingToken, pen: Pen) -> None:
    """It can be claimed again. A worker cannot release the saga of another."""
    put_entries(backend, [pen.entry("mine"), pen.entry("theirs", worker_id="someone")])
    backend.claim(worker, definitions=TRIP, limit=9)

    backend.release(worker, ["mine", "theirs"])

    assert [(row.saga_id, row.worker_id) for row in backend.entries()] == [("mine", None), ("theirs", "someone")]


def test_a_worker_is_listed_with_its_lease_and_what_it_holds(backend: Backend, worker: FencingToken, pen: Pen) -> None:
    """Host, process, end of the lease, and number of sagas."""
    put_entries(backend, [pen.entry("a", worker_id=worker.worker_id), pen.entry("b")])

    (listed,) = backend.workers()

    assert (listed.worker_id, listed.epoch, listed.host, listed.pid, listed.sagas) == (*worker, "here", 7, 1)
    assert timedelta(seconds=59) < listed.lease_until - listed.started_at < timedelta(seconds=61)


def test_a_retired_worker_leaves_its_sagas_to_others(backend: Backend, worker: FencingToken, pen: Pen) -> None:
    """Its lease has ended: it may neither renew nor claim. The next one has a higher epoch."""
    put_entries(backend, [pen.entry("a", worker_id=worker.worker_id)])

    backend.retire(worker)

    with pytest.raises(SupersededWorker):
        backend.renew(worker, lease_seconds=60)
    with pytest.raises(SupersededWorker):
        backend.claim(worker, definitions=TRIP, limit=9)
    following = backend.register(host="here", pid=8, lease_seconds=60)
    assert following.epoch > worker.epoch
    assert [claim.saga_id for claim in backend.claim(following, definitions=TRIP, limit=9)] == ["a"]


def test_a_lease_that_ran_out_is_taken_over(postgres_url: str, pen: Pen) -> None:
    """Its sagas are free, and its worker may not append; a lease that was renewed holds."""
    log = open_backend(postgres_url, create=True)
    dead = log.register(host="there", pid=1, lease_seconds=0)
    alive = log.register(host="here", pid=2, lease_seconds=0)
    log.renew(alive, lease_seconds=60)
    put_entries(log, [pen.entry("a", worker_id=dead.worker_id), pen.entry("b", worker_id=alive.worker_id)])

    assert log.take_over() == [dead.worker_id]

    assert [(row.saga_id, row.worker_id) for row in log.entries()] == [("a", None), ("b", alive.worker_id)]
    with pytest.raises(SupersededWorker):
        log.append(pen.call(pen.append("a", 1), token=dead))
    assert log.take_over() == []
    log.close()


def test_a_sqlite_file_takes_one_worker_until_it_is_gone(sqlite_url: str, pen: Pen) -> None:
    """The second is refused while the first lives; when that dies, its lock and its lease end."""
    first, second = open_backend(sqlite_url), open_backend(sqlite_url)
    token = first.register(host="h", pid=1, lease_seconds=60)
    put_entries(first, [pen.entry("a", worker_id=token.worker_id)])
    with pytest.raises(WorkerRunning, match=r"ledger\.db-worker"):
        second.register(host="h", pid=2, lease_seconds=60)

    first.close()  # as its death would: the operating system drops the lock, and the row stays

    following = second.register(host="h", pid=2, lease_seconds=60)
    assert [worker.epoch for worker in second.workers()] == [following.epoch]
    assert [claim.saga_id for claim in second.claim(following, definitions=TRIP, limit=9)] == ["a"]
    with pytest.raises(SupersededWorker):
        second.append(pen.call(pen.append("a", 1), token=token))
    second.close()
