"""What commands print to: a file, or a terminal of a width. Both are context managers, and have the text afterwards."""

from __future__ import annotations

import fcntl
import os
import select
import struct
import termios
from tempfile import TemporaryFile
from threading import Event, Thread
from typing import Self

LINES = 50
ENVIRONMENT = {"TERM": "dumb", "NO_COLOR": "1"}
"""Without colours, and without anything that moves."""


class Output:
    """A file, which is no terminal."""

    text = ""

    def __enter__(self) -> Self:
        self._file = TemporaryFile("w+")
        return self

    def __exit__(self, *error: object) -> None:
        self._file.seek(0)
        self.text = self._file.read()
        self._file.close()

    def fileno(self) -> int:
        """As of a file."""
        return self._file.fileno()


class Terminal:
    """A terminal, as a person would see it."""

    def __init__(self, columns: int) -> None:
        self._ours, self.file_descriptor = os.openpty()
        fcntl.ioctl(self.file_descriptor, termios.TIOCSWINSZ, struct.pack("HHHH", LINES, columns, 0, 0))
        self._printed = b""
        self._ended = Event()
        self._reader = Thread(target=self._read)

    def __enter__(self) -> Self:
        self._reader.start()
        return self

    def __exit__(self, *error: object) -> None:
        self._ended.set()
        self._reader.join()
        os.close(self.file_descriptor)
        os.close(self._ours)

    def fileno(self) -> int:
        """As of a file."""
        return self.file_descriptor

    @property
    def text(self) -> str:
        """What was printed, without the empty lines that a progress bar leaves where it cannot be erased."""
        return self._printed.decode(errors="replace").replace("\r\n", "\n").lstrip("\n")

    def _read(self) -> None:
        """A program that goes on in the background keeps the terminal open, so its end is not waited for."""
        while True:
            ended = self._ended.is_set()  # asked before, so that nothing that was printed until then is left
            if select.select([self._ours], [], [], 0.0 if ended else 0.02)[0]:
                self._printed += os.read(self._ours, 65536)
            elif ended:
                return
