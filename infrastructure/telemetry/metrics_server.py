"""The metrics on a port of their own, for Prometheus to scrape."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from prometheus_client import start_http_server

from ...domain.errors import InvalidInput
from .telemetry import Telemetry

PORT_MAX = 65_535


@contextmanager
def metrics_served(telemetry: Telemetry, host: str, port: int) -> Iterator[int]:
    """Serve the metrics from a thread as long as the block lasts; yields the port (0 takes a free one).

    Raises `InvalidInput` for an address that cannot be bound.
    """
    try:
        server, thread = start_http_server(port, host, telemetry.registry)
    except (OSError, OverflowError) as error:
        why = getattr(error, "strerror", None) or error
        raise InvalidInput(f"the metrics cannot be served on {host} port {port}: {why}; choose another one") from error
    try:
        yield server.server_port
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
