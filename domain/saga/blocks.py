"""A sparse sequence that is never changed: a change makes a new one, which shares all but one block with the old."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, Final, Generic, TypeVar

from msgspec import Struct

T = TypeVar("T")

BLOCK: Final = 64
_EMPTY: Final[tuple[Any, ...]] = (None,) * BLOCK


class Blocks(Struct, Generic[T], frozen=True, gc=False):
    """Values by their index, in blocks of 64: thousands of them are not copied for a change of one."""

    blocks: Mapping[int, tuple[T | None, ...]] = {}

    @staticmethod
    def block_of(index: int) -> int:
        """Returns the number of the block that has this index."""
        return index // BLOCK

    def get(self, index: int) -> T | None:
        """Returns the value at an index, or None."""
        block: tuple[T | None, ...] = self.blocks.get(index // BLOCK, _EMPTY)
        return block[index % BLOCK]

    def put(self, index: int, value: T) -> Blocks[T]:
        """Returns the sequence with another value at an index."""
        number, place = divmod(index, BLOCK)
        block: tuple[T | None, ...] = self.blocks.get(number, _EMPTY)
        return Blocks({**self.blocks, number: (*block[:place], value, *block[place + 1 :])})

    def backwards(self, block: int) -> Iterator[tuple[int, T]]:
        """Yields the indexes and values of a block, the last ones first."""
        values = self.blocks.get(block, _EMPTY)
        for place in range(BLOCK - 1, -1, -1):
            value = values[place]
            if value is not None:
                yield block * BLOCK + place, value
