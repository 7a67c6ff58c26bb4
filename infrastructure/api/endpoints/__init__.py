"""Every endpoint of the API, in the order of the OpenAPI document."""

from __future__ import annotations

from typing import Final

from ..endpoint import Endpoint
from . import events, log, operating, saga_actions, sagas, schedules, server, views

ENDPOINTS: Final[tuple[Endpoint, ...]] = (
    *sagas.ENDPOINTS,
    *saga_actions.ENDPOINTS,
    *views.ENDPOINTS,
    *operating.ENDPOINTS,
    *schedules.ENDPOINTS,
    *log.ENDPOINTS,
    *events.ENDPOINTS,
    *server.ENDPOINTS,
)
