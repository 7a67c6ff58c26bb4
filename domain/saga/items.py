"""The items of a for-each step, and how far each has come.

A step may have thousands of them. A decision looks at those alone that are under way, and a change copies few others.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from msgspec import Raw, Struct

from .blocks import Blocks
from .step_state import FAILED, PENDING, UNTOUCHED, StepState


class Items(Struct, frozen=True, gc=False):
    """The items of a for-each step. Only those that are under way are looked at for a decision."""

    total: int
    collect: bool = False
    """Whether an item that has failed counts as ended, and the others go on."""
    values: tuple[Raw, ...] = ()
    started: int = 0
    """Items are started in order: those from this index on have not started."""
    ended: int = 0
    """How many items succeeded, were skipped or, if failures are collected, failed."""
    undoing: bool = False
    """Whether a compensation of an item has started."""
    open: Mapping[int, StepState] = {}
    """The items that are under way: their actions have not ended, or their compensations have begun and not ended."""
    settled: Blocks[StepState] = Blocks()
    """The items that are not under way any more."""
    owing: Mapping[int, int] = {}
    """For each block of settled items, how many of them would have to be compensated."""

    def state(self, index: int) -> StepState:
        """Returns how far an item has come."""
        return self.open.get(index) or self.settled.get(index) or UNTOUCHED

    def with_state(self, index: int, state: StepState) -> Items:
        """Returns the items with the state of one replaced."""
        before = self.state(index)
        was_open, is_open = index in self.open, not self._is_settled(state)
        under_way, settled = dict(self.open), self.settled
        if is_open:
            under_way[index] = state
        else:
            under_way.pop(index, None)
            settled = settled.put(index, state)
        change = (not is_open and state.owes_compensation) - (not was_open and before.owes_compensation)
        block = settled.block_of(index)
        return Items(
            self.total,
            self.collect,
            self.values,
            max(self.started, index + 1),
            self.ended + self._has_ended(state) - self._has_ended(before),
            self.undoing or state.compensation.progress is not PENDING,
            under_way,
            settled,
            {**self.owing, block: self.owing.get(block, 0) + change} if change else self.owing,
        )

    def __iter__(self) -> Iterator[StepState]:
        """Yields how far each item has come, in their order."""
        return (self.state(index) for index in range(self.total))

    @property
    def size_bytes(self) -> int:
        """How many bytes the items and their results have."""
        return sum(map(len, self.values)) + sum(len(state.forward.result or b"") for state in self)

    def settled_owing(self) -> Iterator[int]:
        """Yields the settled items that would have to be compensated, the last ones first."""
        for block in sorted((block for block, count in self.owing.items() if count), reverse=True):
            for index, state in self.settled.backwards(block):
                if index not in self.open and state.owes_compensation:
                    yield index

    @property
    def owes_compensation(self) -> bool:
        """Whether any item happened, or may have, and is not undone."""
        return any(self.owing.values()) or any(state.owes_compensation for state in self.open.values())

    def _has_ended(self, state: StepState) -> bool:
        forward = state.forward
        return forward.finished or (self.collect and forward.progress is FAILED)

    def _is_settled(self, state: StepState) -> bool:
        if state.compensation.progress is PENDING:
            return self._has_ended(state)
        return state.compensation.finished
