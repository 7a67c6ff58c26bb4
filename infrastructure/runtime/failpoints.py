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

FailpointListener = Callable[[str, bool], None]
"""Told what crosses (`sqlite COMMIT`), and whether that has happened already."""

listener: FailpointListener | None = None
"""Who watches; None, as ever outside tests, costs one look at this name."""


def set_listener(new: FailpointListener | None) -> None:
    """Have each crossing told to a watcher, in the thread where it happens; None: to nobody."""
    global listener
    listener = new


def failpoint(*name: str) -> AbstractContextManager[None]:
    """Say that the block meets the world outside, in a few words; one that raises has not come back."""
    return _UNWATCHED if listener is None else _watched(listener, " ".join(name))


_UNWATCHED: Final = nullcontext()


@contextmanager
def _watched(told: FailpointListener, name: str) -> Iterator[None]:
    told(name, False)
    yield
    if listener is not None:
        listener(name, True)


async def awaiting_failpoint(name: str, call: Awaitable[T]) -> T:
    """Await a call that meets the world outside; a coroutine that is not awaited yet has not begun."""
    with failpoint(name):
        return await call
