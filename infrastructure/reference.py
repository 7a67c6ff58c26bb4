"""The reference application: the online shop's sagas, participants and views."""

from __future__ import annotations

from ..domain.commerce import PARTICIPANTS, SAGAS
from ..projections import COMMERCE_PROJECTIONS
from .app import App

APP = App(sagas=SAGAS, participants=PARTICIPANTS, projections=COMMERCE_PROJECTIONS)
