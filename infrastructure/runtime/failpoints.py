"""The boundary: every place where this process meets the world outside, so that a test can stand there.

Statements, commits and connections cross it inside the connections' own classes (`log/sqlite_connection.py`,
`log/postgres_connection.py`), whoever uses them; the call of a step, the worker's file lock and whatever is asked of
a broker say so themselves.
Whoever watches is told before and after each crossing, and may do there what a power cut would.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from typing import Final, TypeVar

T = TypeVar("T")

Watcher = Callable[[str, bool], None]
"""Told what crosses (`sqlite COMMIT`), and whether that has happened already."""

watcher: Watcher | None = None
"""Who watches; None, as ever outside tests, costs one look at this name."""


def watch(new: Watcher | None) -> None:
    """Have each crossing told to a watcher, in the thread where it happens; None: to nobody."""
    global watcher
    watcher = new


def crossing(*name: str) -> AbstractContextManager[None]:
    """Say that the block meets the world outside, in a few words; one that raises has not come back."""
    return _UNWATCHED if watcher is None else _watched(watcher, " ".join(name))


_UNWATCHED: Final = nullcontext()


@contextmanager
def _watched(told: Watcher, name: str) -> Iterator[None]:
    told(name, False)
    yield
    if watcher is not None:
        watcher(name, True)


async def crossed(name: str, call: Awaitable[T]) -> T:
    """Await a call that meets the world outside; a coroutine that is not awaited yet has not begun."""
    with crossing(name):
        return await call
