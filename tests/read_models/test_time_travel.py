"""A view can be queried as it was: at a position, and at a time as it showed itself then."""

from __future__ import annotations

from datetime import datetime, timedelta

import pytest

from sagaledger.domain.errors import InvalidInput
from sagaledger.infrastructure.event_store.backend import Backend
from sagaledger.infrastructure.event_store.codec import Codec
from sagaledger.infrastructure.ledger.ledger import Ledger
from sagaledger.infrastructure.ledger.moment import Moment
from sagaledger.infrastructure.read_models import checkpoints
from sagaledger.infrastructure.read_models.projector import Projector
from sagaledger.infrastructure.read_models.queries import Queries
from sagaledger.infrastructure.read_models.rebuild import rebuild
from sagaledger.infrastructure.shop.app import APP
from sagaledger.projections.shop import orders

from .past import rows_at
from .shop import Shop


@pytest.fixture
def ledger(log: Backend) -> Ledger:
    """The shop's ledger; the fixture of the log closes it."""
    return Ledger(log, APP)


def _now(log: Backend) -> datetime:
    with log.views.reading() as connection:
        return checkpoints.now(connection)


def test_a_view_says_again_what_it_said_at_a_time(
    shop: Shop, log: Backend, codec: Codec, projector: Projector, ledger: Ledger
) -> None:
    """With its lag of then: also if it was behind the log, and has been rebuilt since."""
    shop.trade(5)
    projector.catch_up()
    shop.trade(5)
    answer = ledger.query("orders", limit=100)
    then = _now(log)
    while _now(log) == then:  # SQLite's clock counts milliseconds
        pass
    shop.trade(1)
    projector.catch_up()
    rebuild(log, codec, orders)

    past = ledger.query("orders", at=then, limit=100)

    assert answer.lag_events > 0
    assert (past.as_of_position, past.rows) == (answer.as_of_position, answer.rows)
    assert (past.head_position, past.lag_events) == (answer.head_position, answer.lag_events)
    assert 0 <= past.lag_seconds < 60
    assert len(ledger.query("orders", limit=100).rows) == 11


def test_a_position_means_what_the_events_up_to_it_make(
    shop: Shop, log: Backend, projector: Projector, ledger: Ledger
) -> None:
    """Also if the view had not folded them when the last of them was recorded: then a time tells less than it."""
    shop.trade(3)
    projector.catch_up()
    head = shop.trade(2)
    recorded_at = log.head().recorded_at
    assert recorded_at is not None

    at_position, at_time = ledger.query("orders", at=f"@{head}"), ledger.query("orders", at=recorded_at)

    assert (len(at_position.rows), at_position.as_of_position, at_position.lag_events) == (5, head, 0)
    assert (len(at_time.rows), at_time.head_position) == (3, head)
    assert at_time.as_of_position + at_time.lag_events == head


def test_a_view_can_be_seen_at_every_position(
    shop: Shop, log: Backend, codec: Codec, projector: Projector, queries: Queries
) -> None:
    """The saga of one order is followed event by event."""
    head = shop.trade(1)
    projector.catch_up()
    first = next(row.position for row in log.read(0, limit=100) if row.topic == "SagaStarted")

    said = [rows_at(queries, log, codec, "sagas", position) for position in range(first - 1, head + 1)]

    assert said[0] == []
    assert [row["events"] for (row,) in said[1:]] == sorted(row["events"] for (row,) in said[1:])
    assert said[-1] == queries.query("sagas").rows


def test_before_its_first_event_a_view_said_nothing(
    shop: Shop, log: Backend, projector: Projector, ledger: Ledger
) -> None:
    """An instant before the ledger is not an error."""
    shop.trade(1)
    projector.catch_up()
    long_ago = log.read(0, limit=1)[0].recorded_at - timedelta(days=1)

    for at in (long_ago, "@0", timedelta(days=36_500)):
        past = ledger.query("orders", at=at)
        assert (past.as_of_position, past.head_position, past.rows) == (0, 0, [])


@pytest.mark.parametrize(
    ("at", "problem"),
    [
        ("@1000000", "beyond the end of the log: its last position is @"),
        (Moment(position=2**70), "beyond the end of the log"),
        ("2999-01-01", "is in the future"),
        (timedelta(hours=-1), "is in the future"),
        ("v3", "v3 is a version of one saga, and this is about the whole log"),
        ("3", "write @3 for a position of the log, v3 for a version"),
        (3, "3 is no moment"),
        ("yesterday", "'yesterday' is no moment: write it as"),
    ],
)
def test_what_is_no_moment_of_the_log_is_refused(shop: Shop, ledger: Ledger, at: object, problem: str) -> None:
    """The error says why, and how to write one."""
    shop.trade(1)

    with pytest.raises(InvalidInput, match=problem):
        ledger.query("orders", at=at)  # type: ignore[arg-type]


def test_the_past_is_asked_neither_to_wait_nor_for_search_attributes(shop: Shop, ledger: Ledger) -> None:
    """Both are about the present."""
    shop.trade(1)

    with pytest.raises(InvalidInput, match="give one of them"):
        ledger.query("orders", at="@1", wait_for=1)
    with pytest.raises(InvalidInput, match="search attributes are recorded as they are now"):
        ledger.query("orders", at="@1", attributes={"customer": "1"})
