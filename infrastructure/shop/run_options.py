"""How a file of orders is to be run."""

from __future__ import annotations

from collections.abc import Mapping
from decimal import Decimal
from typing import Literal, NamedTuple, TypeAlias

Style: TypeAlias = Literal["orchestrated", "choreographed"]
"""With a coordinator, or by services that react to each other's events."""


class BrokerOptions(NamedTuple):
    """A broker for the events of services, and the program that runs a service in a process of its own."""

    url: str
    service_command: tuple[str, ...]
    """The words of the program; the service's name is appended to them."""
    service_environment: Mapping[str, str]


class RunOptions(NamedTuple):
    """How a file of orders is to be run."""

    seed: int
    """Decides, with an order's id, whether its payment is declined."""
    decline_rate: Decimal
    opening_stock: int | None
    """Pieces of each article; None for as many as the file's orders need."""
    concurrency: int
    """How many sagas run at once."""
    actor: str
    style: Style = "orchestrated"
    broker: BrokerOptions | None = None
    """None: the services react to the log itself."""
