"""The contract of reading, waiting, snapshots and fingerprints, on every backend."""

from __future__ import annotations

import time
from collections.abc import Iterable
from datetime import timedelta
from threading import Thread
from typing import TYPE_CHECKING

from sagaledger.infrastructure.event_store.append_call import Append
from sagaledger.infrastructure.event_store.backend import Backend
from sagaledger.infrastructure.event_store.connect import open_backend
from sagaledger.infrastructure.event_store.event_log import Snapshot
from sagaledger.infrastructure.event_store.event_row import StoredRow

if TYPE_CHECKING:
    from .conftest import Pen


def streams_and_versions(rows: Iterable[StoredRow]) -> list[tuple[str, int]]:
    return [(row.stream_id, row.version) for row in rows]


def test_an_empty_log_has_only_a_head(backend: Backend) -> None:
    """Position 0, 32 zero bytes, no time."""
    head = backend.head()

    assert (head.position, head.hash, head.recorded_at) == (0, bytes(32), None)
    assert backend.sealed_position() == 0
    assert backend.read(0, limit=10) == []
    assert backend.stream("a") == []
    assert backend.appends(0, limit=10) == []


def test_the_log_is_read_in_pages(backend: Backend, pen: Pen) -> None:
    """After a position, up to one, of some topics, at most so many: always in order."""
    topics = ["odd", "even"] * 5
    backend.append(pen.call(Append([pen.event("a", n, topic=topics[n - 1]) for n in range(1, 11)])))

    assert [row.position for row in backend.read(3, limit=4)] == [4, 5, 6, 7]
    assert [row.position for row in backend.read(3, limit=99, upto=5)] == [4, 5]
    assert [row.position for row in backend.read(0, limit=3, topics=["even"])] == [2, 4, 6]
    assert [row.position for row in backend.read(8, limit=99, topics=["even", "odd"])] == [9, 10]
    assert backend.read(0, limit=99, topics=["none"]) == []


def test_a_stream_is_read_between_versions(backend: Backend, pen: Pen) -> None:
    """After a version and up to one; not those of a stream whose name begins with its name."""
    backend.append(pen.call(pen.append("a", 1, 2, 3), pen.append("ab", 1), pen.append("a", 4)))

    assert streams_and_versions(backend.stream("a")) == [("a", 1), ("a", 2), ("a", 3), ("a", 4)]
    assert streams_and_versions(backend.stream("a", after=1, upto=3)) == [("a", 2), ("a", 3)]


def test_many_streams_are_read_at_once(backend: Backend, pen: Pen) -> None:
    """Each beyond its own version, ordered by stream and version; unknown streams have no events."""
    backend.append(pen.call(pen.append("b", 1, 2), pen.append("a", 1), pen.append("B", 1), pen.append("a", 2, 3)))

    rows = backend.streams([("b", 0), ("a", 1), ("none", 0), ("B", 0)])

    assert streams_and_versions(rows) == [("B", 1), ("a", 2), ("a", 3), ("b", 1), ("b", 2)]
    assert backend.streams([]) == []


def test_the_payloads_of_many_streams_are_read_at_once(backend: Backend, pen: Pen) -> None:
    """The events of a stream stand together and in order, however they were appended; unknown streams have none."""
    said = [pen.event("b", n, b'{"n":%d}' % n, topic=f"T{n}") for n in (1, 2, 3)]
    backend.append(pen.call(Append(said[:1]), pen.append("a", 1), Append(said[1:]), pen.append("other", 1)))

    payloads, nothing, others = backend.payloads([["b", "none", "a"], ["none"], ["other"]])

    assert [p for p in payloads if p[0] == "b"] == [("b", f"T{n}", 1, b'{"n":%d}' % n) for n in (1, 2, 3)]
    assert payloads in ([*payloads[:3], ("a", "Happened", 1, b"{}")], [("a", "Happened", 1, b"{}"), *payloads[1:]])
    assert (nothing, others) == ([], [("other", "Happened", 1, b"{}")])
    assert list(backend.payloads([])) == []


def test_a_process_is_read_across_its_streams(backend: Backend, pen: Pen) -> None:
    """A saga's own events and those of its participants, in the order of the log."""
    backend.append(
        pen.call(
            pen.append("saga", 1),
            Append([pen.event("stock", 1, correlation_id="other"), pen.event("stock", 2, correlation_id="saga")]),
            pen.append("saga", 2),
        )
    )

    assert streams_and_versions(backend.correlated("saga")) == [("saga", 1), ("stock", 2), ("saga", 2)]
    assert streams_and_versions(backend.correlated("saga", after=1, limit=1)) == [("stock", 2)]


def test_an_instant_has_a_position(backend: Backend, pen: Pen) -> None:
    """That of the last event recorded at it or before."""
    first = backend.append(pen.call(pen.append("a", 1, 2))).recorded_at
    second = backend.append(pen.call(pen.append("a", 3))).recorded_at
    moment = timedelta(microseconds=1)

    assert backend.position_at(first - moment) == 0
    assert backend.position_at(first) == (2 if first < second else 3)
    assert backend.position_at(second - moment) in (0, 2)
    assert backend.position_at(second + timedelta(days=1)) == 3


def test_the_newest_snapshot_stays(backend: Backend) -> None:
    """An older one is replaced, and a newer one is not."""
    backend.put_snapshots([Snapshot("a", 10, "s1", b"ten"), Snapshot("b", 1, "s1", b"")])
    backend.put_snapshots([Snapshot("a", 20, "s2", b"twenty")])
    backend.put_snapshots([Snapshot("a", 15, "s2", b"fifteen")])
    backend.put_snapshots([])

    assert sorted(backend.snapshots(["a", "b", "c"])) == [
        Snapshot("a", 20, "s2", b"twenty"),
        Snapshot("b", 1, "s1", b""),
    ]


def test_waiting_ends_when_the_time_is_up(backend: Backend, pen: Pen) -> None:
    """It returns the head's position, and at once if the log is beyond the position already."""
    backend.append(pen.call(pen.append("a", 1)))

    assert backend.wait_beyond(0, 60) == 1
    assert backend.wait_beyond(1, 0.05) == 1


def test_waiting_ends_soon_after_another_process_appends(url: str, log: Backend, pen: Pen) -> None:
    """By a connection of its own, as another process has: noticed long before the time is up."""
    reached: list[int] = []
    waiting = Thread(target=lambda: reached.append(log.wait_beyond(0, 60)))
    waiting.start()
    other = open_backend(url)

    started = time.monotonic()
    other.append(pen.call(pen.append("a", 1)))
    waiting.join(30)

    assert reached == [1]
    assert time.monotonic() - started < 5
    other.close()


def test_a_fingerprint_is_recorded_once(backend: Backend) -> None:
    """The first one stays, and each version has its own."""
    assert backend.fingerprints() == {}

    assert backend.record_fingerprint("trip", 1, "first") == "first"
    assert backend.record_fingerprint("trip", 1, "second") == "first"
    assert backend.record_fingerprint("trip", 2, "second") == "second"

    assert backend.fingerprints() == {("trip", 1): "first", ("trip", 2): "second"}


def test_each_structure_is_recorded_once(backend: Backend) -> None:
    """By its fingerprint; each version has its own."""
    assert backend.structures() == {}

    backend.record_structure("trip", 1, "first", "{}")
    backend.record_structure("trip", 1, "first", "[]")
    backend.record_structure("trip", 1, "second", "[2]")
    backend.record_structure("trip", 2, "first", "[1]")

    assert backend.structures() == {("trip", 1): {"first": "{}", "second": "[2]"}, ("trip", 2): {"first": "[1]"}}


def test_the_types_of_events_are_counted(backend: Backend, pen: Pen) -> None:
    """By topic, whatever stream they are in."""
    assert backend.topics() == []

    backend.append(pen.call(Append([pen.event("a", 1, topic="odd"), pen.event("a", 2, topic="even")])))
    backend.append(pen.call(Append([pen.event("b", 1, topic="odd")])))

    assert backend.topics() == [("even", 1, 1), ("odd", 1, 2)]
