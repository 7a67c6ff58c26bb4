"""What a declaration says of a step that waits for a signal."""

from __future__ import annotations

from collections.abc import Collection, Iterable
from typing import Any, TypeAlias, TypedDict, TypeVar

from ..errors import DefinitionError
from .approval import APPROVALS_MAX, Approval
from .duration import check_seconds
from .step import AnyStep, Step
from .step_kind import Signal
from .validation import check_name

I = TypeVar("I")  # noqa: E741 -- the saga's input, as the documentation calls it
T = TypeVar("T")


Votes: TypeAlias = Step[I, list[Approval[T]]]
"""A step that several people have to approve."""


class SignalOptions(TypedDict, total=False):
    """The options of a step that waits for a signal which say nothing of its result."""

    signal: str | None
    excluded: Collection[str]
    exclude_requester: bool
    timeout: float | None
    after: Iterable[AnyStep | str] | None


class ConditionalWaitOptions(SignalOptions, total=False):
    """Those of a step with a condition, which may have no result."""

    type: Any
    approvals: int | None


class WaitOptions(SignalOptions, total=False):
    """Those of a step without one."""

    when: None


class OneSignalOptions(WaitOptions, total=False):
    """Those of a step whose result is the payload of one signal."""

    approvals: None


class AnyTypeOptions(WaitOptions, total=False):
    """Those of a step with payloads of any type."""

    type: Any


class AnyWaitOptions(AnyTypeOptions, total=False):
    """Those of a step with a result of any type."""

    approvals: int | None


def signal_kind(
    saga_name: str,
    step: str,
    signal: str | None,
    timeout: float | None,
    type_: Any,
    approvals: Any,
    excluded: Any,
    exclude_requester: Any,
) -> Signal:
    """Returns the kind of a step that waits for a signal. Raises `DefinitionError` for what cannot be meant."""
    where = f"saga {saga_name!r}: step {step!r}"
    check_seconds(timeout, f"saga {saga_name!r}: the timeout of step {step!r}")
    check_name(signal or step, f"saga {saga_name!r}: the signal of step {step!r}")
    whole = isinstance(approvals, int) and not isinstance(approvals, bool)
    if approvals is not None and not (whole and 1 <= approvals <= APPROVALS_MAX):
        raise DefinitionError(f"{where} has approvals={approvals!r}: use a whole number from 1 to {APPROVALS_MAX}")
    names = not isinstance(excluded, str) and isinstance(excluded, Collection)
    if not names or not all(isinstance(actor, str) and actor for actor in excluded):
        raise DefinitionError(f"{where} has excluded={excluded!r}: use a list of actors, such as ['robot']")
    if not isinstance(exclude_requester, bool):
        raise DefinitionError(f"{where} has exclude_requester={exclude_requester!r}: use True or False")
    return Signal(signal or step, timeout, type_, approvals, tuple(sorted(set(excluded))), exclude_requester)
