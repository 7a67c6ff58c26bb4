"""Letting go after a fork: what a process opened before it forked belongs to the parent alone.

A child that used its parent's connections would read the parent's replies, and closing them would end the parent's
sessions. So every object that keeps connections registers here, and is told in the child, before anything else runs.
"""

from __future__ import annotations

import os
from typing import Any, Final, Protocol
from weakref import WeakSet


class KeepsConnections(Protocol):
    """An object that keeps connections, locks or descriptors."""

    def after_fork(self) -> None:
        """Forget the parent's connections and locks, so that the next use opens new ones. Called in the child."""
        ...


_registered: Final[WeakSet[KeepsConnections]] = WeakSet()
_inherited: Final[list[Any]] = []
"""The parent's connections. They are kept, because to collect one would close it."""


def on_fork(keeper: KeepsConnections) -> None:
    """Tell an object in the child of every fork to come; objects that were collected are left out."""
    _registered.add(keeper)


def leave_to_parent(*connections: Any) -> None:
    """Keep connections of the parent unused for the rest of this process."""
    _inherited.extend(connections)


def _in_child() -> None:
    for keeper in list(_registered):
        keeper.after_fork()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_in_child)
