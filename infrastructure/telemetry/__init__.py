"""Telemetry: metrics for Prometheus and spans for OpenTelemetry, made from what the log acknowledged."""

from __future__ import annotations

from importlib.util import find_spec

from ..errors import NotSupported

if find_spec("prometheus_client") is None or find_spec("opentelemetry") is None:
    raise NotSupported("telemetry needs the extra: pip install 'sagaledger[telemetry]'")
