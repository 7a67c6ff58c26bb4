"""Where a worker runs: what it can know of the workers beside it."""

from __future__ import annotations

import os
import socket
from pathlib import Path

_NAMESPACE = Path("/proc/self/ns/pid")


def process_identity() -> str:
    """The host, and the space of process ids on it where the system has several: a container has its own."""
    host = socket.gethostname()
    try:
        return f"{host} {_NAMESPACE.readlink()}"
    except OSError:
        return host


def is_gone(pid: int) -> bool:
    """Whether no process of this place has that id any more."""
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return True
    except PermissionError:
        return False
    return False
