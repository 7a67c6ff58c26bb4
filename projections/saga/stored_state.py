"""A saga's state as the `sagas` view stores it between two batches: a text of about a hundred bytes.

The text holds how far each step has come and what else the saga's status follows from. It holds nothing that a user
put in (input, results, payloads, error texts), and nothing that another column of the row has.
"""

from __future__ import annotations

from datetime import datetime

import msgspec

from ...domain.saga.events import Direction
from ...domain.saga.items import Items
from ...domain.saga.state import Intervention, SagaState
from ...domain.saga.step_state import PENDING, RUNNING, Progress, StepProgress, StepState


class StoredItems(msgspec.Struct, frozen=True, omit_defaults=True, gc=False):
    """The items of a for-each step: those that run alone, however many there are."""

    undoing: bool = False
    running: tuple[int, ...] = ()
    """The items whose actions run, in their order: the status follows from no other progress of an item."""


class StoredState(msgspec.Struct, frozen=True, omit_defaults=True, gc=False):
    """The content of the text, under names of its own: a change here needs another version of the view."""

    steps: dict[str, tuple[Progress, Progress]] = {}
    """The progress of each step's action and of its compensation."""
    items: dict[str, StoredItems] = {}
    """Of each for-each step, the items that run, and whether it undoes any."""
    interventions: tuple[tuple[str, Direction], ...] = ()
    """The steps that wait for a person."""
    cancelled: bool = False
    deadline_exceeded: bool = False
    past_pivot: bool = False


_encode = msgspec.json.Encoder().encode
_decode = msgspec.json.Decoder(StoredState).decode


def encode_state(state: SagaState) -> str:
    """Returns the text of an open saga's state."""
    stored = StoredState(
        {name: _pair(step) for name, step in state.steps.items()},
        {name: _stored_items(items) for name, items in state.items.items()} if state.items else {},
        tuple((intervention.step, intervention.direction) for intervention in state.interventions),
        state.cancelled,
        state.deadline_exceeded,
        state.past_pivot,
    )
    return _encode(stored).decode()


def decode_state(text: str, saga_id: str, begins_at: datetime | None) -> SagaState:
    """Returns a state whose status is that of the encoded one, now and after any further events.

    Raises `msgspec.DecodeError` for a text that `encode_state` did not make.
    """
    stored = _decode(text)
    return SagaState(
        saga_id,
        begins_at=begins_at,
        cancelled=stored.cancelled,
        deadline_exceeded=stored.deadline_exceeded,
        past_pivot=stored.past_pivot,
        steps={name: _step(*pair) for name, pair in stored.steps.items()},
        items={name: _items(items) for name, items in stored.items.items()},
        interventions=tuple(Intervention(step, direction, "") for step, direction in stored.interventions),
    )


def _stored_items(items: Items) -> StoredItems:
    running = sorted(index for index, state in items.open.items() if state.forward.progress is RUNNING)
    return StoredItems(items.undoing, tuple(running))


def _items(stored: StoredItems) -> Items:
    return Items(0, undoing=stored.undoing, open={index: _step(RUNNING, PENDING) for index in stored.running})


def _pair(step: StepState) -> tuple[Progress, Progress]:
    return step.forward.progress, step.compensation.progress


def _step(forward: Progress, compensation: Progress) -> StepState:
    return StepState(StepProgress(forward), StepProgress(compensation))
