"""How often a step is tried, how long it waits between attempts, and what follows an attempt of unknown outcome."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping
from enum import StrEnum
from math import inf
from typing import Any, Final, Protocol, TypeAlias

from msgspec import Struct

from ..errors import (
    RETRY_AFTER_SECONDS_MAX,
    DefinitionError,
    Fail,
    InvalidInput,
    NotSerialisable,
    PayloadTooLarge,
    StepRejected,
)
from .duration import SECONDS_MAX

MULTIPLIER_MAX: Final = 1e6
EXPONENT_MAX: Final = 64
DELAY_SECONDS_MAX: Final = RETRY_AFTER_SECONDS_MAX
"""The longest wait between two attempts: without a limit, waits that multiply soon leave the calendar."""
FINAL: Final = (StepRejected, Fail, DefinitionError, InvalidInput, NotSerialisable, PayloadTooLarge)
"""Errors after which another attempt would not help: no policy applies to them."""


class Retry(Struct, frozen=True):
    """How often a step is tried, and how long it waits between attempts.

    The wait before attempt n + 1 is `backoff_seconds * multiplier ** (n - 1)`, at most `backoff_seconds_max`, varied
    by up to the fraction `jitter`. The variation depends on the idempotency key and the attempt alone. Whatever is
    declared, no wait is longer than a year.

    `attempts` counts all attempts of the step, in this direction, that failed, whatever each failed with: after a
    failure another attempt follows if fewer have failed, this one included. Attempts whose worker died are not counted
    here, and the count begins again when a person says to retry. `Retry(attempts=1)`: never try again.
    """

    attempts: int = 3
    backoff_seconds: float = 0.2
    multiplier: float = 2.0
    backoff_seconds_max: float = 60.0
    jitter: float = 0.2

    def __post_init__(self) -> None:
        value: Any
        for name, value, least, most in (
            ("attempts", self.attempts, 1, inf),
            ("backoff_seconds", self.backoff_seconds, 0, SECONDS_MAX),
            ("multiplier", self.multiplier, 1, MULTIPLIER_MAX),
            ("backoff_seconds_max", self.backoff_seconds_max, 0, inf),
            ("jitter", self.jitter, 0, 1),
        ):
            if not isinstance(value, (int, float)) or not least <= value <= most:  # NaN is not
                limits = f"of {least} or more" if most == inf else f"from {least} to {most:g}"
                raise DefinitionError(f"Retry({name}={value!r}): use a number {limits}")
        if self.attempts % 1:
            raise DefinitionError(f"Retry(attempts={self.attempts!r}): use a whole number, 1 or more")

    def delay_seconds(self, key: str, attempt: int) -> float:
        """Returns how long to wait after this attempt failed: the same for the same key and attempt."""
        longest = min(self.backoff_seconds_max, DELAY_SECONDS_MAX)
        exponent = min(attempt - 1, EXPONENT_MAX)
        try:
            delay = min(self.backoff_seconds * self.multiplier**exponent, longest)
        except OverflowError:
            delay = longest if self.backoff_seconds else 0.0
        drawn = int.from_bytes(hashlib.sha256(f"{key}:{attempt}".encode()).digest()[:8], "big") / 2**64
        return min(delay * (1 + self.jitter * (2 * drawn - 1)), DELAY_SECONDS_MAX)


class RetryByError(Protocol):
    """A mapping from exception types to policies; so typed, it may be for any of them."""

    def items(self) -> Iterable[tuple[type[BaseException], Retry]]: ...


RetryOption: TypeAlias = Retry | RetryByError
"""One policy, or one for each type of error: the policy of the most specific type applies."""

_mro_of = type.__dict__["__mro__"].__get__
"""As Python keeps it, not as a metaclass may answer."""


class RetryPolicies(Struct, frozen=True):
    """The retry policies of a step's action, or of its compensation."""

    default: Retry
    """For errors of every other type."""
    by_type: tuple[tuple[type[BaseException], Retry], ...] = ()

    def of(self, error: BaseException) -> Retry:
        """Returns the policy for an error: that of the most specific of its types, in the order of its MRO."""
        if self.by_type:
            for base in _mro_of(type(error)):
                for type_, policy in self.by_type:
                    if type_ is base:
                        return policy
        return self.default


def policies_of(retry: Any, default: Retry, what: str) -> RetryPolicies:
    """Returns declared policies. Raises `DefinitionError` unless this is a `RetryOption` that can apply, or None."""
    if not isinstance(retry, Mapping):
        check_retry(retry, what)
        return RetryPolicies(retry or default)
    for type_, policy in retry.items():
        if not isinstance(type_, type) or not issubclass(type_, BaseException):
            raise DefinitionError(f"{what} is for {type_!r}: use exception classes as keys")
        where = f"{what} for {type_.__name__}"
        if issubclass(type_, BaseExceptionGroup):
            raise DefinitionError(f"{where}: a group counts as the exceptions that it holds, so name those")
        if issubclass(type_, FINAL):
            raise DefinitionError(f"{where}: a step that raises it is never tried again, so remove it")
        if not isinstance(policy, Retry):
            raise DefinitionError(f"{where} is {policy!r}: use Retry(...)")
    return RetryPolicies(default, tuple(retry.items()))


def check_retry(retry: Any, what: str) -> None:
    """Raise `DefinitionError` unless this is a retry policy, or None."""
    if not isinstance(retry, Retry | None):
        raise DefinitionError(f"{what} is {retry!r}: use Retry(...)")


class OnUnknown(StrEnum):
    """What follows an attempt whose worker died before it recorded an outcome."""

    RETRY = "retry"
    COMPENSATE = "compensate"
