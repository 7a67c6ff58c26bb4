"""The operating-system locks that admit one worker to a SQLite file.

A lock on a file beside the ledger's keeps out the workers that reach it by the same path, after symbolic links are
followed. On Linux a socket whose name is the file's device and inode also keeps out those that reach it by another
name (a hard link, a bind mount, or an earlier name). The ledger's own file is not locked: closing a descriptor of it
would drop the locks that SQLite has on it in this process. The operating system drops both locks when the holder dies.
"""

from __future__ import annotations

import fcntl
import os
import socket
import sys
from contextlib import suppress
from typing import Final

from ...errors import Unavailable, WorkerRunning
from ...runtime.failpoints import failpoint
from .ledger_file import LedgerFile

_REMEDY: Final = "a SQLite ledger takes exactly one: stop that one first, or use a postgresql:// ledger for many"
_HOLDER_BYTES_MAX: Final = 300


class WorkerLock:
    """The exclusive right of one worker to a ledger's file."""

    def __init__(self, ledger: LedgerFile) -> None:
        self._ledger = ledger
        self.path = ledger.path.with_name(f"{ledger.path.name}-worker")
        self._descriptor: int | None = None
        self._socket: socket.socket | None = None

    def acquire(self) -> None:
        """Take the lock. Raises `WorkerRunning` if another process, or this one already, has it."""
        if not self._ledger.is_open_elsewhere:  # then it may be a worker that has it open, which says more
            self._ledger.refuse_writing()
        try:
            mode = self._ledger.path.stat().st_mode & 0o666  # those who may write to the ledger may work it
            descriptor = os.open(self.path, os.O_RDWR | os.O_CREAT, mode)
        except OSError as error:
            raise Unavailable(
                f"{self.path} cannot be opened ({error.strerror}): a worker must lock it, so make it writable"
            ) from error
        try:
            with failpoint("file lock"):
                fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            holder = os.pread(descriptor, _HOLDER_BYTES_MAX, 0).decode("utf-8", "replace").strip()
            os.close(descriptor)
            raise WorkerRunning(
                f"another worker holds {self.path}{f' ({holder})' if holder else ''}, and {_REMEDY}"
            ) from error
        try:
            self._socket = self._claim_inode()
        except BaseException:
            os.close(descriptor)
            raise
        self._descriptor = descriptor
        self._write_holder(descriptor)

    def release(self) -> None:
        """Release the lock, if it is held. The file stays: if it were removed, two workers could lock two files."""
        if self._descriptor is not None:
            os.ftruncate(self._descriptor, 0)
        self._let_go()

    def after_fork(self) -> None:
        """Leave the lock to the parent: it ends when the parent's own descriptors are closed."""
        self._let_go()

    def _let_go(self) -> None:
        if self._socket is not None:
            self._socket.close()
            self._socket = None
        if self._descriptor is not None:
            os.close(self._descriptor)
            self._descriptor = None

    def _claim_inode(self) -> socket.socket | None:
        if sys.platform != "linux":
            return None
        found = self._ledger.path.stat()
        with failpoint("inode lock"):
            claim = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
            try:
                claim.bind(f"\0sagaledger-worker-{found.st_dev}-{found.st_ino}")
            except OSError as error:
                claim.close()
                raise WorkerRunning(
                    f"another worker works the file {self._ledger.path} under another name, and {_REMEDY}"
                ) from error
        return claim

    @staticmethod
    def _write_holder(descriptor: int) -> None:
        """Note who has the lock, for the message to those who do not get it."""
        with suppress(OSError):  # the disk may be full: the lock does not depend on it
            os.ftruncate(descriptor, 0)
            os.pwrite(descriptor, f"process {os.getpid()} on {socket.gethostname()}\n".encode(), 0)
