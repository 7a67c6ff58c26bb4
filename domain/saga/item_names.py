"""The names of the items of a for-each step: `book[0]`, `book[1]` and so on, in events, views and commands."""

from __future__ import annotations

import re
from typing import Final

_ITEM: Final = re.compile(r"(.+)\[(0|[1-9][0-9]{0,4})\]", re.DOTALL)


def item_name(step: str, index: int) -> str:
    """Returns the name of an item."""
    return f"{step}[{index}]"


def split_item_name(name: str) -> tuple[str, int] | None:
    """Returns the step and the index that an item's name consists of; None for any other name."""
    found = _ITEM.fullmatch(name) if name.endswith("]") else None
    return None if found is None else (found[1], int(found[2]))
