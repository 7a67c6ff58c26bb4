"""The reference application: the online shop's sagas, participants and views."""

from __future__ import annotations

from ...domain.shop import PARTICIPANTS, SAGAS
from ...domain.shop.services import SERVICES
from ...projections.shop import SHOP_PROJECTIONS
from ..ledger.app import App

APP = App(sagas=SAGAS, participants=PARTICIPANTS, services=SERVICES, projections=SHOP_PROJECTIONS)
