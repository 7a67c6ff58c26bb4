"""Requests to write that come twice: the log remembers them, on both databases."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from threading import Barrier
from uuid import uuid4

import pytest

from sagaledger.infrastructure.errors import RequestKeyReused, VersionConflict
from sagaledger.infrastructure.event_store.event_log import EventLog
from sagaledger.infrastructure.ledger import operations
from sagaledger.infrastructure.ledger.ledger import Ledger
from sagaledger.infrastructure.ledger.saga_start import SagaStart, start
from sagaledger.infrastructure.ledger.write_request import WriteRequest

from .trip import APP, Trip, trip


def test_an_append_is_found_by_its_id(log: EventLog) -> None:
    """One that was never made is not."""
    assert log.find_append(uuid4()) is None


def test_a_repeat_has_the_first_answer_after_a_restart(ledger: Ledger, url: str) -> None:
    """Although the rule would refuse it by then."""
    ledger.start(trip, Trip("Rome", 2))
    request = WriteRequest(uuid4(), "cancel it")
    first = operations.cancel(ledger.context.on_behalf_of(request), "trip-Rome.2", actor="ann", reason="rain")

    with Ledger.open(url, APP) as restarted:
        context = restarted.context.on_behalf_of(request)
        again = operations.cancel(context, "trip-Rome.2", actor="ann", reason="rain")

    assert again == first
    assert ledger.backend.head().position == first
    assert ledger.history("trip-Rome.2")[-1].meta.request == "cancel it"


def test_another_request_under_the_same_id_is_refused(ledger: Ledger) -> None:
    """And writes nothing."""
    ledger.start(trip, Trip("Rome", 2))
    request = WriteRequest(uuid4(), "cancel it")
    position = operations.cancel(ledger.context.on_behalf_of(request), "trip-Rome.2", actor="ann", reason="rain")

    with pytest.raises(RequestKeyReused, match=f"wrote position {position}"):
        operations.signal(
            ledger.context.on_behalf_of(request._replace(fingerprint="signal it")), "trip-Rome.2", "x", actor="ann"
        )

    assert ledger.backend.head().position == position


def test_a_start_is_found_by_its_request(ledger: Ledger) -> None:
    """It is created both times, as the first answer said."""
    context = ledger.context.on_behalf_of(WriteRequest(uuid4(), "start it"))
    saga_start = SagaStart.of(trip.definition, Trip("Rome", 2), None)

    assert start(context, saga_start) == start(context, saga_start)
    assert ledger.backend.head().position == 1


def test_requests_that_race_write_once(ledger: Ledger, url: str) -> None:
    """Each gets the answer of the one that wrote, whichever that was."""
    ledger.start(trip, Trip("Rome", 2))
    request, together = WriteRequest(uuid4(), "cancel it"), Barrier(4)

    def cancel() -> int:
        with Ledger.open(url, APP) as mine:
            mine.state("trip-Rome.2")
            together.wait()
            return operations.cancel(mine.context.on_behalf_of(request), "trip-Rome.2", actor="ann", reason="rain")

    with ThreadPoolExecutor(4) as pool:
        positions = {each.result() for each in [pool.submit(cancel) for _ in range(4)]}

    assert positions == {2}
    assert ledger.backend.head().position == 2


def test_a_stale_version_is_refused(ledger: Ledger) -> None:
    """A repeat of what was written at the right version is not stale."""
    ledger.start(trip, Trip("Rome", 2))
    ledger.signal("trip-Rome.2", "weather", "fine", actor="ann")
    stale = ledger.context.on_behalf_of(WriteRequest(uuid4(), "a", 1))
    fresh = ledger.context.on_behalf_of(WriteRequest(uuid4(), "b", 2))

    with pytest.raises(VersionConflict, match="is at version 2, and version 1 was expected"):
        operations.cancel(stale, "trip-Rome.2", actor="ann", reason="rain")
    done = operations.cancel(fresh, "trip-Rome.2", actor="ann", reason="rain")

    assert operations.cancel(fresh, "trip-Rome.2", actor="ann", reason="rain") == done
