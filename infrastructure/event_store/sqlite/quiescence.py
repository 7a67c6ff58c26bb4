"""Whether SQLite may be used after a fork: only if no thread was inside it when the process forked.

SQLite keeps process-wide mutexes and a table of the locks that the process has on each file. A child inherits both as
they are, without the threads that would release the mutexes and without the locks. So a fork waits until SQLite is at
rest; then the child may close what it inherited, and open files of its own. If that takes too long, the child is told
at its first use of a SQLite ledger, which could otherwise hang or damage the file.
"""

from __future__ import annotations

import os
import time
from collections import deque
from collections.abc import Iterator
from contextlib import contextmanager
from threading import Lock, local
from typing import Final

from ...errors import PermanentlyUnavailable

_FORK_WAIT_SECONDS: Final = 1.0
_POLL_SECONDS: Final = 0.001


class _State:
    def __init__(self) -> None:
        self.gate = Lock()
        """Held while the process forks, so that no use begins."""
        self.uses: deque[None] = deque()
        """One element for each thread that is using SQLite."""
        self.thread = local()
        self.at_rest = True
        """Whether SQLite was at rest when this process was forked."""


_state = _State()


@contextmanager
def using_sqlite() -> Iterator[None]:
    """Mark a block as a use of SQLite. Raises `PermanentlyUnavailable` in a child that must not use it."""
    if not _state.at_rest:
        raise PermanentlyUnavailable(
            "this process was forked while another thread was using a SQLite ledger, and cannot use one safely: "
            "fork before the ledger is used, or start the process with multiprocessing's method 'spawn'"
        )
    if getattr(_state.thread, "is_using", False):
        yield
        return
    state = _state
    with state.gate:
        state.uses.append(None)
    state.thread.is_using = True
    try:
        yield
    finally:
        state.thread.is_using = False
        if state.uses:  # it is empty in a child that was forked within the block
            state.uses.pop()


def was_at_rest() -> bool:
    """Return, in a child that was just forked, whether it may close the connections that it inherited."""
    return _state.at_rest and not _state.uses


def _before_fork() -> None:
    _state.gate.acquire()
    deadline = time.monotonic() + _FORK_WAIT_SECONDS
    while _state.uses and time.monotonic() < deadline and not getattr(_state.thread, "is_using", False):
        time.sleep(_POLL_SECONDS)


def _after_fork_in_parent() -> None:
    _state.gate.release()


def _after_fork_in_child() -> None:
    global _state
    forked, _state = _state, _State()
    _state.at_rest = forked.at_rest and not forked.uses


if hasattr(os, "register_at_fork"):
    os.register_at_fork(before=_before_fork, after_in_parent=_after_fork_in_parent, after_in_child=_after_fork_in_child)
