"""What the campaign runs: the shop, and beside it the example of a saga whose steps call another company's service."""

from __future__ import annotations

import runpy
from pathlib import Path

from sagaledger import App
from sagaledger.domain.shop import PARTICIPANTS, SAGAS
from sagaledger.projections.shop import SHOP_PROJECTIONS

EXAMPLE = Path(__file__).parents[2] / "examples" / "http_service" / "saga.py"
send_parcel = runpy.run_path(str(EXAMPLE))["send_parcel"]

APP = App(sagas=[*SAGAS, send_parcel], participants=PARTICIPANTS, projections=SHOP_PROJECTIONS)
