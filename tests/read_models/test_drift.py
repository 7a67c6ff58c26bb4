"""Drift names each row that is not what its events make of it."""

from __future__ import annotations

from sqlalchemy import inspect

from sagaledger.infrastructure.event_store.backend import Backend
from sagaledger.infrastructure.event_store.codec import Codec
from sagaledger.infrastructure.read_models.drift import drift
from sagaledger.infrastructure.read_models.projector import Projector
from sagaledger.infrastructure.read_models.queries import Queries
from sagaledger.projections.shop import inventory, orders

from .shop import Shop


def test_a_view_that_was_only_folded_has_none(
    shop: Shop, log: Backend, codec: Codec, projector: Projector, queries: Queries
) -> None:
    """Every built-in view is compared row by row, with its internal columns."""
    head = shop.trade(40)
    projector.catch_up()

    compared = [drift(queries, log, codec, checkpoint.name) for checkpoint in queries.checkpoints()]

    assert {(found.position, found.count) for found in compared} == {(head, 0)}
    assert sum(found.rows for found in compared) > 200


def test_an_edited_a_removed_and_an_invented_row_are_each_named(
    shop: Shop, log: Backend, codec: Codec, projector: Projector, queries: Queries
) -> None:
    """Each is listed with the row of the view and the row that the events make."""
    shop.trade(1)
    projector.catch_up()
    table = inventory.table
    with log.views.writing() as connection:
        connection.execute(table.update().where(table.c.sku == "sku3").values(on_hand=0))
        connection.execute(table.delete().where(table.c.sku == "sku4"))
        connection.execute(
            table.insert().values(sku="invented", received=1, on_hand=1, reserved=0, shipped=0, returned=0)
        )

    found = drift(queries, log, codec, "inventory")

    assert (found.count, found.rows) == (3, 20)
    by_key = {difference.key["sku"]: difference for difference in found.differences}
    edited, removed, invented = by_key["sku3"], by_key["sku4"], by_key["invented"]
    assert edited.live is not None
    assert edited.rebuilt is not None
    assert (edited.live["on_hand"], edited.rebuilt["on_hand"]) == (0, 10_000)
    assert removed.live is None
    assert removed.rebuilt is not None
    assert invented.live is not None
    assert invented.rebuilt is None


def test_many_differences_are_all_counted_and_the_first_are_listed(
    shop: Shop, log: Backend, codec: Codec, projector: Projector, queries: Queries
) -> None:
    """The answer stays small however wrong the view is."""
    shop.trade(30)
    projector.catch_up()
    with log.views.writing() as connection:
        connection.execute(orders.table.update().values(country="Atlantis"))

    found = drift(queries, log, codec, "orders", differences_max=5)

    assert (found.count, len(found.differences)) == (30, 5)


def test_a_view_is_compared_at_its_own_position_while_it_is_behind(
    shop: Shop, log: Backend, codec: Codec, projector: Projector, queries: Queries
) -> None:
    """A view that is behind has no drift."""
    position = shop.trade(5)
    projector.catch_up()
    shop.trade(5)

    found = drift(queries, log, codec, "sagas")

    assert (found.position, found.count) == (position, 0)


def test_it_leaves_nothing_behind(
    shop: Shop, log: Backend, codec: Codec, projector: Projector, queries: Queries
) -> None:
    """The ledger's database is only read."""
    shop.trade(2)
    projector.catch_up()

    def tables() -> set[str]:
        with log.views.reading() as connection:
            return set(inspect(connection).get_table_names())

    before = tables()
    drift(queries, log, codec, "orders")

    assert tables() == before
