"""The views of choreographies, which a ledger has whose app has services."""

from ..projection import Projection
from .dead_letters import dead_letters
from .findings import findings

CHOREOGRAPHY_PROJECTIONS: tuple[Projection, ...] = (findings, dead_letters)
