"""One approval of a step that several people have to approve, as the step's result lists it."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final, Generic, TypeVar

T = TypeVar("T")

APPROVALS_MAX: Final = 20
"""The most approvals that one step may ask for: each has an equal share of the bytes of the step's result."""


@dataclass(frozen=True, slots=True)
class Approval(Generic[T]):
    """An approval: who gave it, when, what came with it, and why.

    A dataclass, so that its payload may be of any type that can be stored, a pydantic model for instance.
    """

    actor: str
    at: datetime
    payload: T
    reason: str | None = None


def has_approved(actor: str, given: Iterable[Approval[Any]]) -> bool:
    """Whether an actor is among those who approved."""
    return any(approval.actor == actor for approval in given)
