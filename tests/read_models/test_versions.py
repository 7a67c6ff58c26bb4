"""Views that another version of their projection made: older ones are rebuilt, newer ones are left alone."""

from __future__ import annotations

import logging

import pytest
from sqlalchemy import BigInteger, Column, MetaData, Table, Text

from sagaledger.domain.recorded_event import RecordedEvent
from sagaledger.domain.shop.order import OrderCreated
from sagaledger.infrastructure.errors import WrongState
from sagaledger.infrastructure.event_store.backend import Backend
from sagaledger.infrastructure.event_store.codec import Codec
from sagaledger.infrastructure.read_models.drift import drift
from sagaledger.infrastructure.read_models.queries import Queries
from sagaledger.infrastructure.read_models.rebuild import rebuild, upgrade_views
from sagaledger.infrastructure.read_models.tables import install
from sagaledger.projections.projection import Projection, Row
from sagaledger.projections.shop import inventory

from .conftest import MakeProjector
from .shop import Shop


def _counts(version: int, name: str = "counts") -> Projection:
    """A view of each customer's orders; its second version has another column."""
    counter = "orders" if version == 1 else "placed"
    counts = Projection(
        name,
        version=version,
        table=Table(
            name, MetaData(), Column("customer_id", Text, primary_key=True), Column(counter, BigInteger, nullable=False)
        ),
        initial=lambda customer_id: {"customer_id": customer_id, counter: 0},
    )

    @counts.on(OrderCreated, key=lambda recorded: recorded.event.customer_id)
    def created(row: Row, _: OrderCreated, __: RecordedEvent) -> Row:
        return {**row, counter: row[counter] + 1}

    return counts


def test_an_upgrade_rebuilds_the_views_of_older_versions(
    shop: Shop, log: Backend, codec: Codec, make_projector: MakeProjector
) -> None:
    """Whether they were stopped already or not; views that are current or absent are left as they are."""
    head = shop.trade(8)
    make_projector(_counts(1), inventory).catch_up()
    declared = [_counts(2), inventory, _counts(1, "absent_counts")]
    reached: list[int] = []

    rebuilt = upgrade_views(log, codec, declared, lambda position, _: reached.append(position))

    assert [(c.name, c.version, c.generation, c.status, c.position) for c in rebuilt] == [
        ("counts", 2, 2, "live", head)
    ]
    assert reached[-1] == head
    queries = Queries(log, declared)
    assert sum(row["placed"] for row in queries.query("counts").rows) == 8
    assert drift(queries, log, codec, "counts").count == 0
    assert (queries.checkpoint("inventory").generation, queries.checkpoint("absent_counts").status) == (1, "absent")
    assert upgrade_views(log, codec, declared) == []


def test_an_upgrade_of_a_ledger_without_views_does_nothing(log: Backend, codec: Codec) -> None:
    """There is nothing to bring up to a version."""
    assert upgrade_views(log, codec, [_counts(2)]) == []


def test_an_older_program_leaves_a_newer_view_alone(
    shop: Shop, log: Backend, codec: Codec, make_projector: MakeProjector, caplog: pytest.LogCaptureFixture
) -> None:
    """It neither stops, nor folds, nor rebuilds it; it says so once, and keeps up its other views."""
    shop.trade(4)
    make_projector(_counts(2)).catch_up()
    before = Queries(log, [_counts(2)]).query("counts")
    older = make_projector(_counts(1), inventory)
    head = shop.trade(4)

    with caplog.at_level(logging.WARNING):
        install(log.views, [_counts(1)])
        upgraded = upgrade_views(log, codec, [_counts(1)])
        older.catch_up()
        older.catch_up()
        older.resume()

    after = {checkpoint.name: checkpoint for checkpoint in Queries(log, []).checkpoints()}
    assert upgraded == []
    assert (after["counts"].status, after["counts"].version, after["counts"].generation) == ("live", 2, 1)
    assert (after["counts"].position, after["inventory"].position) == (before.as_of_position, head)
    (warning,) = [record.getMessage() for record in caplog.records]
    assert "view 'counts' is not followed" in warning
    assert "newer than version 1" in warning
    make_projector(_counts(2)).catch_up()
    assert sum(row["placed"] for row in Queries(log, [_counts(2)]).query("counts").rows) == 8


def test_an_older_program_does_not_answer_from_a_newer_view(
    shop: Shop, log: Backend, make_projector: MakeProjector
) -> None:
    """Its rows mean something else there; the message says which program to use."""
    shop.trade(1)
    make_projector(_counts(2)).catch_up()

    with pytest.raises(WrongState, match=r"version 2 .* newer than version 1, declared here: use the newer program"):
        Queries(log, [_counts(1)]).query("counts")


def test_a_program_that_runs_while_its_view_is_upgraded_does_not_fold_the_new_one(
    shop: Shop, log: Backend, codec: Codec, make_projector: MakeProjector
) -> None:
    """The old code would write old rows into the new table."""
    shop.trade(3)
    older = make_projector(_counts(1))
    older.catch_up()
    position = rebuild(log, codec, _counts(2)).position
    shop.trade(3)

    older.catch_up()

    assert Queries(log, [_counts(2)]).checkpoint("counts").position == position


def test_an_explicit_rebuild_goes_back_to_an_older_version(
    shop: Shop, log: Backend, codec: Codec, make_projector: MakeProjector
) -> None:
    """Who rolls a release back for good says so."""
    shop.trade(5)
    make_projector(_counts(2)).catch_up()

    rebuild(log, codec, _counts(1))

    assert sum(row["orders"] for row in Queries(log, [_counts(1)]).query("counts").rows) == 5
