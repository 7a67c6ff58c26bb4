"""The views of the reference application, an online shop."""

from ..projection import Projection
from .inventory import inventory
from .loyalty import loyalty
from .orders import orders
from .payments import payments
from .shipments import shipments

SHOP_PROJECTIONS: tuple[Projection, ...] = (orders, inventory, payments, shipments, loyalty)
