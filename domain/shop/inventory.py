"""Inventory: one stream per article, whose available stock never goes below zero.

The stream of a hot article is very long, so its state is small and folding one event is O(1). The view `inventory`
counts the pieces that are on hand, reserved, shipped and returned; it folds the same events.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime

from msgspec import Struct
from msgspec.structs import replace

from ..event import Event, event
from ..participant import Command, Participant, Refused

# Events


@event("StockReceived")
class StockReceived(Event, frozen=True):
    """Pieces arrived; `source` is the key of the order import whose opening stock they are, if any."""

    sku: str
    quantity: int
    source: str | None = None


@event("InventoryReserved")
class InventoryReserved(Event, frozen=True):
    """Pieces are reserved for an order; this is article `part` of the order's `parts` articles."""

    order_id: str
    sku: str
    quantity: int
    part: int
    parts: int


@event("InventoryReservationFailed")
class InventoryReservationFailed(Event, frozen=True):
    """An order wanted more pieces than were available."""

    order_id: str
    sku: str
    wanted: int
    available: int

    @property
    def reason(self) -> str:
        """The reason in words."""
        return (
            f"insufficient stock: order {self.order_id} wants {self.wanted} of article {self.sku}, "
            f"{self.available} available"
        )


@event("InventoryReleased")
class InventoryReleased(Event, frozen=True):
    """Pieces reserved for an order are available again; this is article `part` of the order's `parts` articles."""

    order_id: str
    sku: str
    quantity: int
    part: int = 1
    parts: int = 1


@event("ItemsRestocked")
class ItemsRestocked(Event, frozen=True):
    """Returned pieces are available again; this is article `part` of the `parts` of the return in `order_id`."""

    order_id: str
    sku: str
    quantity: int
    part: int
    parts: int


# Commands


class ReceiveStock(Command, frozen=True):
    """Add pieces that arrived."""

    sku: str
    quantity: int


class OpenStock(Command, frozen=True):
    """Add the opening stock of an order import, whose key is the `source`. Repeating the command has no effect."""

    sku: str
    quantity: int
    source: str


class ReserveInventory(Command, frozen=True):
    """Reserve pieces for an order, or refuse if there are not enough."""

    order_id: str
    sku: str
    quantity: int
    part: int = 1
    parts: int = 1


class ReleaseInventory(Command, frozen=True):
    """Release the pieces reserved for an order."""

    order_id: str
    sku: str
    quantity: int
    part: int = 1
    parts: int = 1


class RestockItems(Command, frozen=True):
    """Put returned pieces back on the shelf."""

    order_id: str
    sku: str
    quantity: int
    part: int = 1
    parts: int = 1


InventoryCommand = ReceiveStock | OpenStock | ReserveInventory | ReleaseInventory | RestockItems

# State


class Stock(Struct, frozen=True):
    """The pieces of an article that can be reserved, and the imports whose opening stock was added (one each file)."""

    available: int = 0
    opened_by: tuple[str, ...] = ()


def evolve(stock: Stock, event: Event) -> Stock:
    match event:
        case InventoryReserved():
            return replace(stock, available=stock.available - event.quantity)
        case InventoryReleased() | ItemsRestocked() | StockReceived(source=None):
            return replace(stock, available=stock.available + event.quantity)
        case StockReceived(source=str(source)):
            return Stock(stock.available + event.quantity, (*stock.opened_by, source))
        case _:
            return stock


# Decision


def decide(stock: Stock, command: InventoryCommand, at: datetime) -> Sequence[Event]:
    sku, quantity = command.sku, command.quantity
    if quantity < 1:
        raise Refused(
            f"{type(command).__name__} of {quantity} pieces of article {sku}: the quantity must be at least 1"
        )
    match command:
        case ReceiveStock():
            return [StockReceived(at, sku, quantity)]
        case OpenStock(source=source):
            return [] if source in stock.opened_by else [StockReceived(at, sku, quantity, source)]
        case ReserveInventory(order_id=order_id) if stock.available < quantity:
            failed = InventoryReservationFailed(at, order_id, sku, quantity, stock.available)
            raise Refused(failed.reason, failed)
        case ReserveInventory():
            return [InventoryReserved(at, command.order_id, sku, quantity, command.part, command.parts)]
        case ReleaseInventory():
            return [InventoryReleased(at, command.order_id, sku, quantity, command.part, command.parts)]
        case RestockItems():
            return [ItemsRestocked(at, command.order_id, sku, quantity, command.part, command.parts)]


def _article(command: InventoryCommand) -> str:
    return command.sku


INVENTORY = Participant(
    "stock",
    initial=Stock(),
    state_type=Stock,
    events=(StockReceived, InventoryReserved, InventoryReservationFailed, InventoryReleased, ItemsRestocked),
    commands=dict.fromkeys((ReceiveStock, OpenStock, ReserveInventory, ReleaseInventory, RestockItems), _article),
    decide=decide,
    evolve=evolve,
)
