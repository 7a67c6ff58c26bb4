"""The example of a user's own projection works as it is written."""

from __future__ import annotations

import runpy
from pathlib import Path

from sagaledger.infrastructure.event_store.backend import Backend
from sagaledger.infrastructure.event_store.codec import Codec
from sagaledger.infrastructure.ledger.app import App
from sagaledger.infrastructure.read_models.drift import drift
from sagaledger.infrastructure.read_models.projector import Projector
from sagaledger.infrastructure.read_models.queries import Queries
from sagaledger.infrastructure.read_models.rebuild import rebuild

from .shop import Shop

EXAMPLE = Path(__file__).parents[2] / "examples" / "revenue_by_country.py"


def test_a_projection_of_ones_own_is_one_file(shop: Shop, log: Backend) -> None:
    """It folds the log from its first event, follows it, and is rebuilt and compared like those built in."""
    shop.trade(12)
    app: App = runpy.run_path(str(EXAMPLE))["app"]
    codec = Codec(app.registry)
    projector, queries = Projector(log, codec, app.projections), Queries(log, app.projections)

    projector.catch_up()
    shop.trade(3)
    projector.catch_up()

    (france,) = queries.query("revenue_by_country").rows
    orders = queries.query("orders").rows
    assert (france["country"], france["orders"]) == ("France", 15)
    assert france["booked_minor"] == sum(order["total_minor"] for order in orders)
    rebuild(log, codec, queries.projection("revenue_by_country"))
    assert drift(queries, log, codec, "revenue_by_country").count == 0
    projector.stop()
