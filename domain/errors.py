"""The errors of the domain: one root exception, and one subclass for each situation.

An error has the details of its situation as attributes; its message names the thing, the place and the remedy.
"""

from __future__ import annotations

from datetime import timedelta
from typing import Any, Final

RETRY_AFTER_SECONDS_MAX: Final = 365 * 86_400.0
"""The longest wait between two attempts: a year."""


class SagaledgerError(Exception):
    """The root of every error that sagaledger raises on purpose."""


class DefinitionError(SagaledgerError):
    """A saga, participant or event definition cannot work as written."""


class StepRejected(SagaledgerError):
    """A business rule refuses the step: it did nothing, and another attempt would not help.

    A step raises this to refuse. It proves that the attempt had no effect, so it is no reason to compensate the step
    itself; the steps before it are compensated.
    """


class Fail(SagaledgerError):
    """The step failed for good, and may have happened all the same: it is not tried again, and is compensated.

    A step raises this. `StepRejected` says instead that nothing happened.
    """


class RetryAfter(SagaledgerError):
    """The step is to be tried again after this time, as a service says with its header `Retry-After`.

    A step raises this. The time replaces the wait of the retry policy, whose number of attempts holds all the same. A
    negative time counts as 0, and one of more than a year as a year. The attempt may have happened, unless the step
    says `nothing_happened=True`: then the attempt is no reason to compensate the step.
    """

    def __init__(self, after: float | timedelta, message: str = "", *, nothing_happened: bool = False) -> None:
        seconds: Any = after.total_seconds() if isinstance(after, timedelta) else after
        if not isinstance(seconds, (int, float)) or isinstance(seconds, bool) or seconds != seconds:  # NaN
            raise InvalidInput(f"RetryAfter({after!r}): use a number of seconds, or a timedelta")
        self.seconds = float(min(max(seconds, 0), RETRY_AFTER_SECONDS_MAX))
        self.nothing_happened = bool(nothing_happened)
        super().__init__(message or f"again after {self.seconds:g} s")


class AttemptTimedOut(SagaledgerError, TimeoutError):
    """An attempt had no outcome within the timeout that its step declares: it may have happened.

    Workers record this. A `TimeoutError` that the step itself raises is recorded as what it is.
    """


class HeartbeatTimedOut(AttemptTimedOut):
    """An attempt sent no heartbeat for as long as its step declares with `heartbeat_timeout`: it may have happened."""


class AttemptCancelled(SagaledgerError):
    """The attempt is no longer wanted: its saga compensates, or its outcome was recorded without it.

    `StepContext.heartbeat` raises this in the step.
    """


class InvalidInput(SagaledgerError):
    """A value does not fit the type that its definition declares."""


class PayloadTooLarge(SagaledgerError):
    """A value is larger than the log accepts."""

    def __init__(self, what: str, size_bytes: int, bytes_max: int) -> None:
        super().__init__(
            f"{what} is {size_bytes:,} bytes, more than the {bytes_max:,} that one value may have: "
            "store it elsewhere and pass a reference"
        )
        self.what = what
        self.size_bytes = size_bytes
        self.bytes_max = bytes_max


class NotSerialisable(SagaledgerError):
    """A value cannot be written as JSON."""


class UnknownEvent(SagaledgerError):
    """A stored event has a name or a schema version that no registered type reads."""

    def __init__(self, topic: str, schema_version: int, remedy: str) -> None:
        super().__init__(f"event {topic!r} schema version {schema_version} is not registered: {remedy}")
        self.topic = topic
        self.schema_version = schema_version


class CorruptEvent(SagaledgerError):
    """The bytes of a stored event cannot be decoded as its type."""

    def __init__(self, topic: str, detail: str) -> None:
        super().__init__(f"event {topic!r} cannot be read: {detail}; run `sagaledger verify` to find what was edited")
        self.topic = topic
        self.detail = detail
