"""Whether the standard variables of OpenTelemetry ask for spans; asking costs no import of its libraries."""

from __future__ import annotations

import os
from typing import Final

RECEIVERS: Final = ("OTEL_EXPORTER_OTLP_TRACES_ENDPOINT", "OTEL_EXPORTER_OTLP_ENDPOINT")


def traces_are_asked_for() -> bool:
    """Whether the variables name a receiver of traces, or say that the usual one is to be used."""
    if os.environ.get("OTEL_SDK_DISABLED", "").strip().lower() == "true":
        return False
    exporter = os.environ.get("OTEL_TRACES_EXPORTER", "").strip()
    if exporter:
        return exporter == "otlp"
    return any(os.environ.get(name) for name in RECEIVERS)
