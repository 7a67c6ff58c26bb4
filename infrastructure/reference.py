"""The reference application: the online shop's sagas, participants and views."""

from __future__ import annotations

from ..domain.commerce import PARTICIPANTS, SAGAS
from ..domain.commerce.services import SERVICES
from ..projections import COMMERCE_PROJECTIONS
from .app import App

APP = App(sagas=SAGAS, participants=PARTICIPANTS, services=SERVICES, projections=COMMERCE_PROJECTIONS)
