"""Steps over a list: which items to attempt or to undo next, and how the step as a whole ends.

An item is a step of its own for events, attempts, keys and compensations. Its name is that of the step with its index:
`book[3]`. The step itself waits until its items have ended.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from datetime import datetime
from itertools import islice
from typing import Any, Final

import msgspec
from msgspec import Raw, Struct

from ..errors import InvalidInput
from ..event import Event
from .decision import Attempt, AttemptPlan
from .event_parts import Failure, Wait, WaitKind
from .events import COMPENSATION, FORWARD, Effect, ItemsListed, StepFailed, StepStarted, StepSucceeded
from .item_names import item_name
from .items import Items
from .payload import PAYLOAD_BYTES_MAX
from .step import AnyStep
from .step_context import StepContext
from .step_kind import ForEach
from .step_state import FAILED, PENDING, RUNNING, SKIPPED, StepProgress

ITEMS_MAX: Final = 10_000
"""The most items of one step. A longer list is split, and each part is a sub-saga of its own."""
ITEMS_BYTES_MAX: Final = 8 * 1024 * 1024
"""The most bytes of all items of one step: they are recorded in one append, and each worker of the saga keeps them."""
_SPLIT: Final = "make parts of the list the input of a sub-saga each"
ITEMS_FAILED: Final = "ItemsFailed"
"""The error of a step of which an item failed."""


class ItemsResult(Struct, frozen=True):
    """What a step over a list did: how many items it had, and how many of these failed or were skipped."""

    items: int
    failed: int = 0
    skipped: int = 0


def listed(step: AnyStep, items: Sequence[Raw], attempt: Attempt, now: datetime) -> Iterator[Event]:
    """Yields the events that say that a step begins to wait for its items, and which these are.

    No event has more bytes than a payload may have.
    """
    collect = _kind_of(step).collect
    yield StepStarted(now, step.name, attempt.attempt, attempt.key, Wait(WaitKind.ITEMS))
    first, part, size_bytes = 0, list[Raw](), 0
    for index, item in enumerate(items):
        if part and size_bytes + len(item) + 1 > PAYLOAD_BYTES_MAX:
            yield ItemsListed(now, step.name, first, len(items), tuple(part), collect)
            first, part, size_bytes = index, [], 0
        part.append(item)
        size_bytes += len(item) + 1
    yield ItemsListed(now, step.name, first, len(items), tuple(part), collect)


def end_of_items(step: AnyStep, waiting: StepProgress, items: Items, now: datetime) -> Event | None:
    """Returns the event that ends the step, if its items have ended or one of them has failed."""
    failed = first_failed(items)
    if failed is not None:
        error = Failure(ITEMS_FAILED, f"item {item_name(step.name, failed)} failed")
        return StepFailed(now, step.name, waiting.attempt, error, Effect.NONE, retryable=False)
    if items.ended < items.total:
        return None
    return StepSucceeded(now, step.name, waiting.attempt, Raw(msgspec.json.encode(_result(items))))


def first_failed(items: Items) -> int | None:
    """Returns the first item that was given up, unless failures are collected."""
    failed = (index for index, state in items.open.items() if state.forward.progress is FAILED)
    return None if items.collect else min(failed, default=None)


def first_not_undone(items: Items) -> int | None:
    """Returns the first item whose compensation was given up."""
    return min((index for index, state in items.open.items() if state.compensation.progress is FAILED), default=None)


def plan_items(step: AnyStep, items: Items, plan: AttemptPlan) -> None:
    """Plan the attempts at the items that are under way, and at as many others as may join them."""
    parallel = _kind_of(step).parallel
    for index, state in items.open.items():
        plan.add(step, FORWARD, state.forward, item_name(step.name, index))
    for index in range(items.started, min(items.total, items.started + max(0, parallel - len(items.open)))):
        plan.add(step, FORWARD, items.state(index).forward, item_name(step.name, index))


def plan_undoing(step: AnyStep, items: Items, plan: AttemptPlan) -> None:
    """Plan the compensations of the items that happened, the last ones first, as many at once as run at once."""
    begun = [index for index, state in items.open.items() if state.compensation.progress is not PENDING]
    owing = [index for index, state in items.open.items() if index not in begun and state.owes_compensation]
    room = max(0, _kind_of(step).parallel - len(begun))
    following = sorted([*owing, *islice(items.settled_owing(), room)], reverse=True)
    for index in [*begun, *following[:room]]:
        plan.add(step, COMPENSATION, items.state(index).compensation, item_name(step.name, index))


def running_items(step: str, items: Items) -> Iterator[str]:
    """Yields the names of the items whose actions run."""
    return (item_name(step, index) for index, state in items.open.items() if state.forward.progress is RUNNING)


def items_of(step: AnyStep, value: Any, context: StepContext) -> list[Raw]:
    """Returns the items that the definition's code makes of the input and the context, as JSON.

    Raises what that code raises, `InvalidInput` for what is no list or too long a list, and `NotSerialisable` or
    `PayloadTooLarge` for an item that cannot be stored.
    """
    found = _kind_of(step).list_items(value, context)
    if isinstance(found, (str, bytes, bytearray)):
        raise InvalidInput(f"the items of step {step.name!r} are a {type(found).__name__}: return a list")
    items, size_bytes = list[Raw](), 0
    for index, item in enumerate(found):
        if index == ITEMS_MAX:
            raise InvalidInput(f"step {step.name!r} has more than the {ITEMS_MAX:,} items that it may have: {_SPLIT}")
        items.append(step.write_item(index, item))
        size_bytes += len(items[-1])
        if size_bytes > ITEMS_BYTES_MAX:
            what = f"the items of step {step.name!r} have more than the {ITEMS_BYTES_MAX:,} bytes that they may have"
            raise InvalidInput(f"{what}: list where each is found, or {_SPLIT}")
    return items


def _kind_of(step: AnyStep) -> ForEach:
    if not isinstance(step.kind, ForEach):
        raise TypeError(f"step {step.name!r} has no items")
    return step.kind


def _result(items: Items) -> ItemsResult:
    progresses = [state.forward.progress for state in items]
    return ItemsResult(items.total, progresses.count(FAILED), progresses.count(SKIPPED))
