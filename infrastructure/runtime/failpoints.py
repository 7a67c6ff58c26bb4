"""Failpoints: a named point at each exchange with the world outside, where a test can fail or kill the process.

Statements, commits and connects have theirs inside the connection classes (`event_store/sqlite/connection.py`,
`event_store/postgres/connection.py`), for every caller. The call of a step, the worker's file lock and each call to a
broker name theirs where they happen. A listener is called before and after each, and may do what a power cut would.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from typing import Final, TypeVar

T = TypeVar("T")

FailpointListener = Callable[[str, bool], None]
"""Called with the failpoint's name (`sqlite COMMIT`), and whether the exchange is over."""

listener: FailpointListener | None = None
"""None, as always outside tests, costs one look at this name."""


def set_listener(new: FailpointListener | None) -> None:
    """Set the listener, which is called in the thread of each exchange; None removes it."""
    global listener
    listener = new


def failpoint(*name: str) -> AbstractContextManager[None]:
    """Mark a block as an exchange with the world outside. If it raises, the listener hears of no end."""
    return _NO_LISTENER if listener is None else _heard(listener, " ".join(name))


_NO_LISTENER: Final = nullcontext()


@contextmanager
def _heard(call: FailpointListener, name: str) -> Iterator[None]:
    call(name, False)
    yield
    if listener is not None:
        listener(name, True)


async def awaiting_failpoint(name: str, call: Awaitable[T]) -> T:
    """Await a call that is an exchange with the world outside. A coroutine does not begin before it is awaited."""
    with failpoint(name):
        return await call
