"""A view of your own in one file: the revenue that was booked in each country, from the orders placed there.

    sagaledger demo --db sqlite:///demo.db
    export SAGALEDGER_APP=examples/revenue_by_country.py:app
    sagaledger init --db sqlite:///demo.db
    sagaledger query revenue_by_country --db sqlite:///demo.db

`init` with this app creates the table. A worker folds the whole log into it, from the first event on, and keeps it up;
if no worker runs, the query does. When you change the table or a handler, raise the version and run `sagaledger init`
again, which rebuilds the view: the ledger refuses to answer from rows of another version.
"""

from __future__ import annotations

from sqlalchemy import BigInteger, Column, Integer, MetaData, Table, Text

from sagaledger import App, Projection, RecordedEvent
from sagaledger.domain.shop import PARTICIPANTS, SAGAS
from sagaledger.domain.shop.order import OrderCreated
from sagaledger.projections.projection import Row
from sagaledger.projections.shop import SHOP_PROJECTIONS

revenue_by_country = Projection(
    "revenue_by_country",
    version=1,
    table=Table(
        "revenue_by_country",
        MetaData(),
        Column("country", Text, primary_key=True),
        Column("currency", Text, primary_key=True),
        Column("orders", Integer, nullable=False),
        Column("booked_minor", BigInteger, nullable=False),
    ),
    # Makes the row that a handler receives if the table has none with this key yet.
    initial=lambda country, currency: {"country": country, "currency": currency, "orders": 0, "booked_minor": 0},
)


@revenue_by_country.on(OrderCreated, key=lambda recorded: (recorded.event.country, recorded.event.currency))
def booked(row: Row, event: OrderCreated, _: RecordedEvent) -> Row:
    """Returns the new row, and does nothing else: a rebuild calls the handler again for every event."""
    return {**row, "orders": row["orders"] + 1, "booked_minor": row["booked_minor"] + event.total_minor}


app = App(sagas=SAGAS, participants=PARTICIPANTS, projections=(*SHOP_PROJECTIONS, revenue_by_country))
