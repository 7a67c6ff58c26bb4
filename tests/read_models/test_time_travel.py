"""A view can be queried as it was."""

from __future__ import annotations

from datetime import datetime, timedelta

import pytest

from sagaledger.domain.errors import InvalidInput
from sagaledger.infrastructure.event_store.backend import Backend
from sagaledger.infrastructure.event_store.codec import Codec
from sagaledger.infrastructure.read_models import checkpoints
from sagaledger.infrastructure.read_models.projector import Projector
from sagaledger.infrastructure.read_models.queries import Queries
from sagaledger.infrastructure.read_models.rebuild import rebuild
from sagaledger.infrastructure.read_models.time_travel import view_at
from sagaledger.projections.shop import orders

from .shop import Shop


def _now(log: Backend) -> datetime:
    with log.views.reading() as connection:
        return checkpoints.now(connection)


def test_a_view_says_again_what_it_said_at_a_time(
    shop: Shop, log: Backend, codec: Codec, projector: Projector, queries: Queries
) -> None:
    """That holds also if it was behind the log then, and has been rebuilt since."""
    shop.trade(5)
    projector.catch_up()
    shop.trade(5)
    answer = queries.query("orders", limit=100)
    then = _now(log)
    while _now(log) == then:  # SQLite's clock counts milliseconds
        pass
    projector.catch_up()
    rebuild(log, codec, orders)

    past = view_at(queries, log, codec, "orders", then, limit=100)

    assert answer.lag_events > 0
    assert (past.as_of_position, past.rows) == (answer.as_of_position, answer.rows)
    assert len(queries.query("orders", limit=100).rows) == 10


def test_a_view_can_be_seen_at_every_position(
    shop: Shop, log: Backend, codec: Codec, projector: Projector, queries: Queries
) -> None:
    """The saga of one order is followed event by event."""
    head = shop.trade(1)
    projector.catch_up()
    first = next(row.position for row in log.read(0, limit=100) if row.topic == "SagaStarted")

    said = [view_at(queries, log, codec, "sagas", position).rows for position in range(first - 1, head + 1)]

    assert said[0] == []
    assert [row["events"] for (row,) in said[1:]] == sorted(row["events"] for (row,) in said[1:])
    assert said[-1] == queries.query("sagas").rows


def test_before_its_first_event_a_view_said_nothing(
    shop: Shop, log: Backend, codec: Codec, projector: Projector, queries: Queries
) -> None:
    """An instant before the ledger is not an error."""
    shop.trade(1)
    projector.catch_up()
    long_ago = log.read(0, limit=1)[0].recorded_at - timedelta(days=1)

    past = view_at(queries, log, codec, "orders", long_ago)

    assert (past.as_of_position, past.rows) == (0, [])


def test_a_position_that_the_log_does_not_have_is_refused(
    shop: Shop, log: Backend, codec: Codec, queries: Queries
) -> None:
    """The error says which it has."""
    head = shop.trade(1)

    with pytest.raises(InvalidInput, match=f"the positions 1 to {head}"):
        view_at(queries, log, codec, "orders", head + 1)
