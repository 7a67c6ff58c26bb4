"""Nothing is created and nothing vanishes: sums over the views and, on their own, over the events."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator

from sagaledger.domain.shop import (
    InventoryReleased,
    InventoryReserved,
    ItemsRestocked,
    OrderCompleted,
    OrderCreated,
    PaymentRefunded,
    PaymentSucceeded,
    ShipmentCancelled,
    ShipmentPrepared,
    StockReceived,
)

from .evidence import Evidence


def money_is_conserved(evidence: Evidence) -> Iterator[str]:
    """Captured less refunded is what completed orders cost less what returns gave back: by views and by events."""
    query = evidence.ledger.context.queries
    with query.snapshot(query.projection("payments")) as (connection, _):
        payments = query.projection("payments").table
        orders = query.projection("orders").table
        rows = connection.execute(payments.select()).mappings().all()
        completed = connection.execute(orders.select().where(orders.c.status == "completed")).mappings().all()
    net_view = sum(row["captured_minor"] - row["refunded_minor"] for row in rows)
    sold_view = sum(row["total_minor"] for row in completed)
    totals: dict[str, int] = {}
    net = sold = returned = 0
    for recorded in evidence.events:
        match recorded.event:
            case OrderCreated(order_id=order_id, total_minor=total):
                totals[order_id] = total
            case PaymentSucceeded(amount_minor=amount):
                net += amount
            case PaymentRefunded(amount_minor=amount):
                net -= amount
                returned += amount if recorded.correlation_id.startswith("return_goods-") else 0
            case OrderCompleted(order_id=order_id):
                sold += totals[order_id]
    if net != sold - returned:
        yield f"events: captured less refunded is {net}, sold less returned {sold - returned}"
    if net_view != net or sold_view != sold:
        yield f"views: captured less refunded {net_view}, sold {sold_view}; events: {net}, {sold}"


def stock_is_conserved(evidence: Evidence) -> Iterator[str]:
    """Received = on hand + reserved + shipped - returned, for each article, and none below zero at any moment."""
    query = evidence.ledger.context.queries
    inventory = query.projection("inventory")
    with query.snapshot(inventory) as (connection, _):
        rows = connection.execute(inventory.table.select()).mappings().all()
    for row in rows:
        stands = row["on_hand"] + row["reserved"] + row["shipped"] - row["returned"]
        if row["received"] != stands or min(row["on_hand"], row["reserved"], row["shipped"]) < 0:
            yield f"view: article {row['sku']}: {dict(row)}"
    on_hand: Counter[str] = Counter()
    for recorded in evidence.events:
        match recorded.event:
            case StockReceived(sku=sku, quantity=pieces) | InventoryReleased(sku=sku, quantity=pieces):
                on_hand[sku] += pieces
            case ItemsRestocked(sku=sku, quantity=pieces):
                on_hand[sku] += pieces
            case InventoryReserved(sku=sku, quantity=pieces):
                on_hand[sku] -= pieces
                if on_hand[sku] < 0:
                    yield f"events: article {sku} fell to {on_hand[sku]} at position {recorded.position}"
    yield from (
        f"article {row['sku']}: view {row['on_hand']} on hand, events {on_hand[row['sku']]}"
        for row in rows
        if row["on_hand"] != on_hand[row["sku"]]
    )


def parcels_packed_are_orders_completed(evidence: Evidence) -> Iterator[str]:
    """A parcel stands packed for each completed order, and for no other."""
    packed: set[str] = set()
    completed: set[str] = set()
    for recorded in evidence.events:
        match recorded.event:
            case ShipmentPrepared(order_id=order_id):
                packed.add(order_id)
            case ShipmentCancelled(order_id=order_id):
                packed.discard(order_id)
            case OrderCompleted(order_id=order_id):
                completed.add(order_id)
    yield from (f"order {order_id} is packed or completed, and not both" for order_id in sorted(packed ^ completed))
