"""Shipping: the one shipment of an order."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from hashlib import sha256

from msgspec import Struct
from msgspec.structs import replace

from ..event import Event, event
from ..participant import Command, Participant, Refused
from .values import Quantity

# Events


@event("ShipmentPrepared")
class ShipmentPrepared(Event, frozen=True):
    """The goods of an order are packed, under a tracking number; one line for each article."""

    order_id: str
    tracking_number: str
    lines: tuple[Quantity, ...]


@event("ShipmentCancelled")
class ShipmentCancelled(Event, frozen=True):
    """The shipment of an order is unpacked."""

    order_id: str
    lines: tuple[Quantity, ...]


# Commands


class PrepareShipment(Command, frozen=True):
    """Pack the goods of an order."""

    order_id: str
    lines: tuple[Quantity, ...]


class CancelShipment(Command, frozen=True):
    """Unpack the shipment of an order."""

    order_id: str


ShippingCommand = PrepareShipment | CancelShipment

# State


class Shipment(Struct, frozen=True):
    """The packed articles; None until the shipment was prepared."""

    lines: tuple[Quantity, ...] | None = None
    cancelled: bool = False


def evolve(state: Shipment, event: Event) -> Shipment:
    match event:
        case ShipmentPrepared(lines=lines):
            return Shipment(lines)
        case ShipmentCancelled():
            return replace(state, cancelled=True)
        case _:
            return state


# Decision


def decide(state: Shipment, command: ShippingCommand, at: datetime) -> Sequence[Event]:
    order_id = command.order_id
    match command:
        case PrepareShipment(lines=lines):
            if state.lines is not None:
                raise Refused(f"order {order_id} has a shipment already: it cannot be prepared twice")
            return [ShipmentPrepared(at, order_id, tracking_number(order_id), lines)]
        case CancelShipment():
            if state.lines is None:
                raise Refused(f"order {order_id} has no shipment: there is nothing to cancel")
            return [] if state.cancelled else [ShipmentCancelled(at, order_id, state.lines)]


def tracking_number(order_id: str) -> str:
    """Returns the carrier's number for an order's parcel. It follows from the order's id: every run gets the same."""
    return f"SL{int.from_bytes(sha256(order_id.encode()).digest()[:8]) % 10**10:010}GB"


def _shipment(command: ShippingCommand) -> str:
    return command.order_id


SHIPPING = Participant(
    "shipment",
    initial=Shipment(),
    state_type=Shipment,
    events=(ShipmentPrepared, ShipmentCancelled),
    commands=dict.fromkeys((PrepareShipment, CancelShipment), _shipment),
    decide=decide,
    evolve=evolve,
)
