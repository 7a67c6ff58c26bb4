"""Whether a file with several names (hard links) is open under another one than ours.

SQLite keeps a write-ahead log for each name, so that two names in use at once damage the file. Who has the database
open holds a lock on it, and one on the shared memory beside the name by which it was opened: Linux lists both.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import Final

_LOCKS: Final = Path("/proc/locks")


def is_open_under_another_name(path: Path) -> bool:
    """Return whether any process has the file open by a name whose shared memory is not that of this path.

    It must be asked before this process opens the file by this path. Where locks are not listed, the answer is no.
    """
    try:
        file = path.stat()
        if file.st_nlink == 1:
            return False
        holders = _holders()
    except OSError:
        return False
    try:
        shared_memory = Path(f"{path}-shm").stat()
    except OSError:
        by_this_name: set[str] = set()
    else:
        by_this_name = holders.get(_key(shared_memory), set())
    return bool(holders.get(_key(file), set()) - by_this_name)


def _holders() -> dict[str, set[str]]:
    """Return the ids of the processes that hold a lock on each file, which is named by its device and inode."""
    found: dict[str, set[str]] = {}
    for line in _LOCKS.read_text(encoding="ascii").splitlines():
        fields = line.split()
        if "->" not in fields and len(fields) > 5:
            found.setdefault(fields[5], set()).add(fields[4])
    return found


def _key(file: os.stat_result) -> str:
    return f"{os.major(file.st_dev):02x}:{os.minor(file.st_dev):02x}:{file.st_ino}"
