"""The operating-system lock that admits one worker to a SQLite ledger."""

from __future__ import annotations

import fcntl
import os
from pathlib import Path

from ...errors import Unavailable, WorkerRunning
from ...runtime.failpoints import failpoint


class WorkerLock:
    """An exclusive lock on a file beside the ledger's, which the operating system drops when its holder dies."""

    def __init__(self, ledger: Path) -> None:
        self.path = ledger.with_name(f"{ledger.name}-worker")
        self._descriptor: int | None = None

    def acquire(self) -> None:
        """Take the lock. Raises `WorkerRunning` if another process, or this one already, has it."""
        try:
            descriptor = os.open(self.path, os.O_RDWR | os.O_CREAT, 0o644)
        except OSError as error:
            raise Unavailable(
                f"{self.path} cannot be opened ({error.strerror}): a worker must lock it, so make it writable"
            ) from error
        try:
            with failpoint("file lock"):
                fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            os.close(descriptor)
            raise WorkerRunning(
                f"another worker holds {self.path}, and a SQLite ledger takes exactly one: "
                "stop that one first, or use a postgresql:// ledger for many"
            ) from error
        self._descriptor = descriptor

    def release(self) -> None:
        """Release the lock, if it is held. The file stays: if it were removed, two workers could lock two files."""
        if self._descriptor is not None:
            os.close(self._descriptor)
            self._descriptor = None
