"""The identity of a worker's process: what it has in common with workers whose processes it can observe."""

from __future__ import annotations

import os
import socket
from pathlib import Path

_NAMESPACE = Path("/proc/self/ns/pid")


def process_identity() -> str:
    """Returns the host and, where the system has several, its namespace of process ids: a container has its own."""
    host = socket.gethostname()
    try:
        return f"{host} {_NAMESPACE.readlink()}"
    except OSError:
        return host


def is_gone(pid: int) -> bool:
    """Returns whether no process of this identity's namespace has that id any more."""
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return True
    except PermissionError:
        return False
    return False
