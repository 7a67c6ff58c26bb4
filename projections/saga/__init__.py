"""The views of sagas, which every ledger has."""

from ..projection import Projection
from .decisions import decisions
from .interventions import interventions
from .saga_steps import saga_steps
from .sagas import sagas

SAGA_PROJECTIONS: tuple[Projection, ...] = (sagas, saga_steps, interventions, decisions)
