"""Heartbeats: what a running attempt says of itself, and how it learns that it is no longer wanted."""

from __future__ import annotations

from typing import Any, Final, Protocol

import msgspec
from msgspec import Raw

from ..errors import DefinitionError, PayloadTooLarge
from .duration import check_seconds
from .payload import write_payload

PROGRESS_BYTES_MAX: Final = 16 * 1024
"""The most bytes of a progress, as JSON: an attempt may record very many, and the log keeps each."""

_decode: Final = msgspec.json.Decoder().decode


class HeartbeatListener(Protocol):
    """What an attempt tells of itself, from any thread."""

    def heard(self, progress: Raw | None) -> None:
        """Note a sign of life; None: with no new progress. Raises `AttemptCancelled` if the attempt is not wanted."""

    @property
    def cancelled(self) -> bool:
        """Whether the attempt is no longer wanted."""


def write_progress(step: str, progress: Any) -> Raw | None:
    """Returns a progress as JSON. Raises `NotSerialisable` and `PayloadTooLarge`."""
    if progress is None:
        return None
    what = f"the progress of step {step!r}"
    raw = write_payload(what, progress)
    if len(raw) > PROGRESS_BYTES_MAX:
        raise PayloadTooLarge(what, len(raw), PROGRESS_BYTES_MAX)
    return raw


def read_progress(raw: Raw | None) -> Any:
    """Returns a recorded progress; None if there is none."""
    return None if raw is None else _decode(raw)


def check_heartbeat_timeout(seconds: float | None, timeout_seconds: float | None, where: str) -> None:
    """Raise `DefinitionError` unless attempts can be ended for missing heartbeats before their timeout does it."""
    check_seconds(seconds, f"the heartbeat_timeout of {where}")
    if seconds is not None and timeout_seconds is not None and seconds >= timeout_seconds:
        raise DefinitionError(
            f"{where} has heartbeat_timeout={seconds!r}, which would never end an attempt before its timeout of "
            f"{timeout_seconds!r} seconds does: declare a shorter one"
        )
