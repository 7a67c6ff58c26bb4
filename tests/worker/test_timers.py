"""The worker's timers: one instant for each saga, and no more memory than that."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

from sagaledger.infrastructure.worker.timers import STALE_MAX, Timers

NOON = datetime(2020, 1, 1, 12, tzinfo=UTC)


def _at(minutes: int) -> datetime:
    return NOON + timedelta(minutes=minutes)


def test_sagas_come_due_in_order_and_once() -> None:
    """Sagas whose instant has come, earliest first; the second call returns none."""
    timers = Timers()
    for saga_id, minutes in (("c", 3), ("a", 1), ("b", 2)):
        timers.set(saga_id, _at(minutes))

    assert timers.next_at == _at(1)
    assert timers.due(_at(2)) == ["a", "b"]
    assert timers.due(_at(2)) == []
    assert timers.due(_at(3)) == ["c"]
    assert timers.next_at is None


def test_the_last_instant_that_was_set_counts() -> None:
    """Earlier, later, or not at all."""
    timers = Timers()
    for saga_id in ("sooner", "later", "never"):
        timers.set(saga_id, _at(10))
    timers.set("sooner", _at(1))
    timers.set("later", _at(20))
    timers.set("never", None)

    assert timers.due(_at(1)) == ["sooner"]
    assert timers.due(_at(19)) == []
    assert timers.due(_at(20)) == ["later"]


def test_sagas_that_came_and_went_leave_nothing_behind() -> None:
    """A hundred thousand sagas with a far deadline, each over at once, do not pile up until it comes."""
    timers = Timers()
    for number in range(100_000):
        timers.set(str(number), _at(number + 1))
        timers.set(str(number), None)
        assert len(timers._heap) <= STALE_MAX + 2
