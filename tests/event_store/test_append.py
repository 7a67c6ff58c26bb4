"""The contract of `append`, on every backend."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from msgspec.structs import astuple

from sagaledger.infrastructure.errors import PositionConflict, SupersededWorker
from sagaledger.infrastructure.event_store.append_call import (
    APPEND_EVENTS_MAX,
    Append,
    Appended,
    CheckpointUpdate,
    Conflict,
)
from sagaledger.infrastructure.event_store.backend import Backend
from sagaledger.infrastructure.event_store.work_queue import FencingToken

if TYPE_CHECKING:
    from .conftest import Pen


def test_events_are_read_back_as_they_were_sent(backend: Backend, pen: Pen) -> None:
    """Every column that the writer sends comes back byte for byte, with its position and one time for the call."""
    sent = [
        pen.event("a", 1, b"\x00\xff not JSON", correlation_id="p", causation_position=7, meta='{"actor":"Zo\u00eb"}'),
        pen.event("a", 2, b'{"text":"\xc3\xa9"}', topic="Other"),
        pen.event("b", 1, b""),
    ]

    receipt = backend.append(pen.call(Append(sent)))

    rows = backend.read(0, limit=10)
    assert receipt.outcomes == [Appended(1, 3)]
    assert [(*row[1:9], row.digest) for row in rows] == [astuple(event) for event in sent]
    assert [row.position for row in rows] == [1, 2, 3]
    assert {row.recorded_at for row in rows} == {receipt.recorded_at}
    assert receipt.recorded_at.utcoffset() is not None


def test_a_stream_ends_where_its_writer_believes_or_the_append_conflicts(backend: Backend, pen: Pen) -> None:
    """A version that exists and one beyond the end both conflict, and the conflict says where the stream ends."""
    backend.append(pen.call(pen.append("a", 1, 2)))

    receipt = backend.append(pen.call(pen.append("a", 2), pen.append("a", 4), pen.append("b", 2), pen.append("c", 1)))

    assert receipt.outcomes == [Conflict("a", 1, 2), Conflict("a", 3, 2), Conflict("b", 1, 0), Appended(3, 3)]


def test_an_append_that_builds_on_one_that_conflicted_conflicts_too(backend: Backend, pen: Pen) -> None:
    """Another writer's event has the version of one that was not written, so the next was decided on wrong grounds."""
    # given a stream at 1, to which another writer adds 2
    backend.append(pen.call(pen.append("stock", 1)))
    backend.append(pen.call(Append([pen.event("stock", 2, b'"another"')])))
    # when a call has a 2 too, and a 3 that was decided upon it, and an append that has nothing to do with either
    call = pen.call(pen.append("stock", 2), Append(pen.events("b", 1) + pen.events("stock", 3)), pen.append("c", 1))
    receipt = backend.append(call)
    # then both conflict, the other append does not, and the same call again has the same outcome
    assert receipt.outcomes == [Conflict("stock", 1, 2), Conflict("stock", 2, 2), Appended(3, 3)]
    assert backend.append(call).outcomes == receipt.outcomes


def test_an_append_that_may_build_on_one_that_conflicted_conflicts_whatever_was_written_since(
    backend: Backend, pen: Pen
) -> None:
    """Of two appends with the same version the first conflicts: a later append may have been decided upon it."""
    backend.append(pen.call(pen.append("stock", 1)))
    lost = Append(pen.events("stock", 2) + pen.events("b", 9))
    call = pen.call(lost, Append([pen.event("stock", 2, b'"another"')]), pen.append("stock", 3), pen.append("c", 1))

    receipt = backend.append(call)

    assert receipt.outcomes == [Conflict("b", 8, 0), Appended(2, 2), Conflict("stock", 2, 2), Appended(3, 3)]
    assert backend.append(call).outcomes == receipt.outcomes


@pytest.mark.parametrize("versions", [(2,), (-1,), (1, 3), (1, 1), (2, 1), (0, 2)])
def test_a_stream_begins_at_one_and_continues_without_gaps(
    backend: Backend, pen: Pen, versions: tuple[int, ...]
) -> None:
    """An append that does not begin at 1, or leaves out a version, conflicts."""
    (outcome,) = backend.append(pen.call(pen.append("a", *versions))).outcomes

    assert isinstance(outcome, Conflict)
    assert backend.head().position == 0


def test_a_stream_may_begin_at_zero_but_not_afterwards(backend: Backend, pen: Pen) -> None:
    """Applications of the library may count from 0; a stream that began at 1 cannot have a 0 later."""
    assert backend.append(pen.call(pen.append("zero", 0, 1), pen.append("one", 1))).outcomes == [
        Appended(1, 2),
        Appended(3, 3),
    ]

    receipt = backend.append(pen.call(pen.append("one", 0), pen.append("zero", 2), pen.append("zero", 0)))

    assert receipt.outcomes == [Conflict("one", -1, 1), Appended(4, 4), Conflict("zero", -1, 2)]


def test_a_conflict_writes_nothing_of_its_append_and_does_not_affect_the_others(backend: Backend, pen: Pen) -> None:
    """Of three appends the middle one conflicts in its second stream: its first stream gets nothing either."""
    backend.append(pen.call(pen.append("taken", 1)))
    middle = Append([*pen.events("m", 1), *pen.events("taken", 1)])

    receipt = backend.append(pen.call(pen.append("l", 1), middle, pen.append("r", 1, 2)))

    assert receipt.outcomes == [Appended(2, 2), Conflict("taken", 0, 1), Appended(3, 4)]
    assert [(row.stream_id, row.version) for row in backend.read(1, limit=10)] == [("l", 1), ("r", 1), ("r", 2)]


def test_later_appends_of_a_call_build_on_earlier_ones(backend: Backend, pen: Pen) -> None:
    """Chained on one stream, the appends of a call are decided in order, and only against those that were written."""
    backend.append(pen.call(pen.append("hot", 1)))

    receipt = backend.append(
        pen.call(pen.append("hot", 2), pen.append("hot", 2), pen.append("hot", 3, 4), pen.append("hot", 6))
    )

    assert receipt.outcomes == [Appended(2, 2), Conflict("hot", 1, 2), Appended(3, 4), Conflict("hot", 5, 4)]


def test_streams_may_alternate_within_an_append(backend: Backend, pen: Pen) -> None:
    """Positions keep the order given, however the streams of an append are interleaved."""
    alternating = Append([pen.event("a", 1), pen.event("b", 1), pen.event("a", 2), pen.event("b", 2)])

    assert backend.append(pen.call(alternating)).outcomes == [Appended(1, 4)]

    assert [(row.stream_id, row.version) for row in backend.read(0, limit=9)] == [
        ("a", 1),
        ("b", 1),
        ("a", 2),
        ("b", 2),
    ]


def test_the_same_call_again_has_its_first_outcome(backend: Backend, pen: Pen) -> None:
    """After a partial conflict and more events, the same call has the same outcome, and writes nothing."""
    backend.append(pen.call(pen.append("a", 1)))
    call = pen.call(
        pen.append("a", 2),
        pen.append("a", 2),
        Append([*pen.events("b", 1), *pen.events("a", 9)]),
        pen.append("b", 1),
        Append(()),
        pen.append("a", 3),
    )
    first = backend.append(call)
    backend.append(pen.call(pen.append("a", 4), pen.append("b", 2)))
    before = backend.head()

    again = backend.append(call)

    assert again == first
    assert again.outcomes == [
        Appended(2, 2),
        Conflict("a", 1, 2),
        Conflict("a", 8, 2),
        Appended(3, 3),
        Appended(4, 3),
        Appended(4, 4),
    ]
    assert backend.head() == before


def test_another_call_under_the_id_of_one_that_was_written_is_an_error(backend: Backend, pen: Pen) -> None:
    """An id is for one call: nothing is written, whatever the other one's events are."""
    first = pen.call(pen.append("a", 1))
    backend.append(first)

    for other in (pen.append("b", 1), Append([pen.event("a", 1, b'"another"'), *pen.events("b", 1)])):
        with pytest.raises(ValueError, match="were first sent under"):
            backend.append(pen.call(other, append_id=first.append_id))

    assert backend.head().position == 1


def test_a_call_in_which_all_conflict_writes_nothing(backend: Backend, pen: Pen) -> None:
    """No link of the chain, no queue entry, no checkpoint: as if it had never been sent."""
    backend.append(pen.call(pen.append("a", 1)))
    before = backend.head()

    backend.append(
        pen.call(
            Append(pen.events("a", 1), queue_entry=pen.entry("a"), notify=[pen.entry("b")]),
            checkpoints=[CheckpointUpdate("reader", 0, 1)],
        )
    )

    assert backend.head() == before
    assert backend.entries() == []
    assert backend.consumer_position("reader") == 0


def test_the_worker_of_an_ended_lease_appends_nothing(backend: Backend, pen: Pen) -> None:
    """A call with a token that no longer holds, or never did, is refused; one with a token that holds is not."""
    token = backend.register(host="h", pid=1, lease_seconds=60)
    written = pen.call(pen.append("a", 1), token=token)
    first = backend.append(written)
    backend.retire(token)

    for ended in (token, FencingToken("nobody", 1)):
        with pytest.raises(SupersededWorker):
            backend.append(pen.call(pen.append("a", 2), token=ended))

    assert backend.head().position == 1
    assert backend.append(written) == first  # it was written under the lease, and its outcome stays known


def test_a_consumer_moves_by_compare_and_set(backend: Backend, pen: Pen) -> None:
    """Events and checkpoint are written together: with a wrong expectation, neither is."""
    backend.append(pen.call(pen.append("a", 1), checkpoints=[CheckpointUpdate("reader", 0, 5)]))

    with pytest.raises(PositionConflict, match=r"'reader' is at position 5, not 4"):
        backend.append(
            pen.call(
                pen.append("a", 2), checkpoints=[CheckpointUpdate("other", 0, 9), CheckpointUpdate("reader", 4, 6)]
            )
        )

    assert backend.consumer_position("reader") == 5
    assert backend.consumer_position("other") == 0
    assert backend.head().position == 1


def test_a_consumer_moves_once_with_the_same_call(backend: Backend, pen: Pen) -> None:
    """A call without events is idempotent too."""
    call = pen.call(checkpoints=[CheckpointUpdate("reader", 0, 5)])
    backend.append(call)

    backend.append(call)

    assert backend.consumer_position("reader") == 5
    with pytest.raises(PositionConflict):
        backend.append(pen.call(checkpoints=[CheckpointUpdate("reader", 0, 5)]))


def test_a_call_has_a_largest_size(backend: Backend, pen: Pen) -> None:
    """The largest call is written; one more event is refused before it is sent."""
    events = pen.events("a", *range(1, APPEND_EVENTS_MAX + 2))

    with pytest.raises(ValueError, match="10,001 events"):
        backend.append(pen.call(Append(events)))

    assert backend.append(pen.call(Append(events[:-1]))).outcomes == [Appended(1, APPEND_EVENTS_MAX)]


def test_recorded_times_never_decrease(backend: Backend, pen: Pen) -> None:
    """The head has the last time, and each append is recorded at that time or later."""
    times = [backend.append(pen.call(pen.append("a", version))).recorded_at for version in range(1, 20)]

    assert times == sorted(times)
    assert backend.head().recorded_at == times[-1]
