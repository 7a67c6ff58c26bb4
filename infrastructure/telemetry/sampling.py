"""Which traces are recorded: the standard variables `OTEL_TRACES_SAMPLER` and `OTEL_TRACES_SAMPLER_ARG` say so.

The sampler of OpenTelemetry decides by a trace's id. Here a saga's own id decides where no caller has: so every process
decides the same about a saga, and nothing is stored of one that is not traced.
"""

from __future__ import annotations

import os
from typing import Final, NamedTuple

from ...domain.errors import InvalidInput
from ..runtime.trace_context import TraceContext
from .span_ids import share_of

_SAMPLERS: Final = ("always_on", "always_off", "traceidratio")
_PARENT_BASED: Final = "parentbased_"


class Sampling(NamedTuple):
    """Which share of the traces that begin here is recorded, and whether one from elsewhere has been decided there."""

    share: float = 1.0
    parent_based: bool = True

    def takes(self, what: str, parent: TraceContext | None = None) -> bool:
        """Return whether to record a span of what has this id, under a parent or as the begin of a trace."""
        if parent is not None and self.parent_based:
            return parent.sampled
        return self.share >= 1.0 or (self.share > 0.0 and share_of(what) < self.share)


def sampling_of_environment() -> Sampling:
    """Read the standard variables. Raises `InvalidInput` for a sampler or a share that there is not."""
    name = os.environ.get("OTEL_TRACES_SAMPLER") or f"{_PARENT_BASED}always_on"
    kind = name.removeprefix(_PARENT_BASED)
    if kind not in _SAMPLERS:
        known = ", ".join((*_SAMPLERS, *(f"{_PARENT_BASED}{each}" for each in _SAMPLERS)))
        raise InvalidInput(f"OTEL_TRACES_SAMPLER={name!r}: use one of {known}")
    share = {"always_on": 1.0, "always_off": 0.0}.get(kind)
    return Sampling(_share_of_environment() if share is None else share, name.startswith(_PARENT_BASED))


def _share_of_environment() -> float:
    text = os.environ.get("OTEL_TRACES_SAMPLER_ARG") or "1"
    try:
        share = float(text)
    except ValueError:
        share = -1.0
    if not 0.0 <= share <= 1.0:
        raise InvalidInput(f"OTEL_TRACES_SAMPLER_ARG={text!r}: use a number from 0 to 1")
    return share
