"""Lanes beside the events of a saga: which of its steps were under way, side by side."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final, NamedTuple

from ....domain.event import Event
from ....domain.saga.events import (
    CompensationFailed,
    CompensationStarted,
    InterventionResolved,
    SagaCompensated,
    SagaCompleted,
    StepCompensated,
    StepFailed,
    StepOutcomeUnknown,
    StepStarted,
    StepSucceeded,
)
from .event_text import direction_of

LANES_MAX: Final = 8
"""Steps beyond this many are under way without a lane."""

_STARTS = (StepStarted, CompensationStarted)
_ENDS = (StepSucceeded, StepFailed, StepOutcomeUnknown, StepCompensated, CompensationFailed)
_ENDS_OF_ALL = (SagaCompleted, SagaCompensated)


class LanesAt(NamedTuple):
    """The lanes beside one event, and beside the lines below it."""

    beside: str = ""
    below: str = ""


def lanes(events: Iterable[Event | None]) -> list[LanesAt]:
    """Return the lanes beside each of the events; None stands for one that is not the saga's own.

    They are empty if no two steps were ever under way at the same time.
    """
    open_: list[tuple[str, str] | None] = []
    found = [_step(open_, event) for event in events]
    cells = max((len(each.below) for each in found), default=0)
    if max((_count(each.beside) for each in found), default=0) < 2:
        return [LanesAt() for _ in found]
    return [LanesAt(each.beside.ljust(cells + 1), each.below.ljust(cells + 1)) for each in found]


def _step(open_: list[tuple[str, str] | None], event: Event | None) -> LanesAt:
    """Return the lanes beside an event, and open or close its own."""
    key = None if event is None else (getattr(event, "step", ""), direction_of(event).value)
    if isinstance(event, _ENDS_OF_ALL) or (isinstance(event, InterventionResolved) and event.action == "abandon"):
        beside = "".join(" " if each is None else "└" for each in open_)
        open_.clear()
        return LanesAt(beside, "")
    at = open_.index(key) if key in open_ and key is not None else None
    mark = "├"
    if isinstance(event, _STARTS) and at is None:
        mark = "┌"
        at = open_.index(None) if None in open_ else len(open_)
        if at == LANES_MAX:
            at = None
        else:
            open_[at : at + 1] = [key]
    beside = "".join(mark if place == at else " " if each is None else "│" for place, each in enumerate(open_))
    if isinstance(event, _ENDS) and at is not None:
        beside = f"{beside[:at]}└{beside[at + 1 :]}"
        open_[at] = None
    while open_ and open_[-1] is None:
        open_.pop()
    return LanesAt(beside, "".join(" " if each is None else "│" for each in open_))


def _count(beside: str) -> int:
    return len(beside.replace(" ", ""))
