"""The views of choreographed processes: a ledger has them if its app declares services."""

from ..projection import Projection
from .dead_letters import dead_letters
from .findings import findings

CHOREOGRAPHY_PROJECTIONS: tuple[Projection, ...] = (findings, dead_letters)
