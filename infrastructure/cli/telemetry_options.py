"""The options of the commands that work until they are stopped: where their metrics are, and where spans go."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, Final

from cyclopts import Group, Parameter

from ..errors import NotSupported
from .output.answer import say

if TYPE_CHECKING:
    from ..ledger.ledger import Ledger
    from ..telemetry.telemetry import Telemetry

TELEMETRY: Final = Group("Options of telemetry", sort_key=91)


@Parameter(name="*", group=TELEMETRY)
@dataclass(frozen=True, kw_only=True)
class TelemetryOptions:
    """The options of telemetry. The standard variables of OpenTelemetry say where spans go."""

    metrics_port: Annotated[
        int | None, Parameter(help="Serve metrics for Prometheus on this port (0: a free one) [default: none].")
    ] = None
    metrics_host: Annotated[str, Parameter(help="The address of that port.")] = "127.0.0.1"

    @contextmanager
    def opened(self, *, always: bool = False) -> Iterator[Telemetry | None]:
        """Yield what observes the command, and send its last spans at the end; None if nothing is asked for.

        `always`: the command has metrics without a port of their own.
        Raises `NotSupported` if the port needs the extra, and `InvalidInput` for variables that cannot be used.
        """
        telemetry = self._open(always)
        try:
            yield telemetry
        finally:
            if telemetry is not None:
                telemetry.close()

    @contextmanager
    def served(self, telemetry: Telemetry | None, ledger: Ledger) -> Iterator[None]:
        """Serve the metrics of a ledger as long as the block lasts, if a port is given. Raises `InvalidInput`."""
        if telemetry is None or self.metrics_port is None:
            yield
            return
        from ..telemetry.metrics_server import metrics_served

        telemetry.watch(ledger)
        with metrics_served(telemetry, self.metrics_host, self.metrics_port) as port:
            say(f"metrics are on http://{self.metrics_host}:{port}/metrics")
            yield

    def _open(self, always: bool) -> Telemetry | None:
        asks_for_spans = any(name.startswith("OTEL_") for name in os.environ)
        if self.metrics_port is None and not asks_for_spans and not always:
            return None
        try:
            from ..telemetry.environment import traces_are_asked_for
        except NotSupported as missing:
            if self.metrics_port is not None:
                raise
            if asks_for_spans:
                say(f"no spans are sent: {missing}")
            return None
        if self.metrics_port is None and not traces_are_asked_for() and not always:
            return None
        from ..telemetry.telemetry import Telemetry

        telemetry = Telemetry()
        if telemetry.spans is not None:
            telemetry.spans.share_with_programs()
        return telemetry


NO_TELEMETRY: Final = TelemetryOptions()
