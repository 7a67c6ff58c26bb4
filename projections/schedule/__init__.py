"""The view of schedules: a ledger has it if its app declares some."""

from ..projection import Projection
from .schedules import schedules

SCHEDULE_PROJECTIONS: tuple[Projection, ...] = (schedules,)
