"""Read models: each a fold of the log into queryable tables, at its own position."""

from .dead_letters import dead_letters
from .findings import findings
from .interventions import interventions
from .inventory import inventory
from .loyalty import loyalty
from .orders import orders
from .payments import payments
from .projection import Projection
from .saga_steps import saga_steps
from .sagas import sagas
from .shipments import shipments

SAGA_PROJECTIONS: tuple[Projection, ...] = (sagas, saga_steps, interventions)
"""What every ledger has."""
CHOREOGRAPHY_PROJECTIONS: tuple[Projection, ...] = (findings, dead_letters)
"""What a ledger has whose app has services."""
COMMERCE_PROJECTIONS: tuple[Projection, ...] = (orders, inventory, payments, shipments, loyalty)
"""What the reference domain adds."""
