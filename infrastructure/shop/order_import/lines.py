"""A file as its physical lines: decompressed, digested, decoded, and bounded."""

from __future__ import annotations

import gzip
import zlib
from collections.abc import Iterator
from hashlib import sha256
from io import BufferedReader
from pathlib import Path
from typing import BinaryIO, NamedTuple, cast

from .errors import OrderFileError

LINE_BYTES_MAX = 64 * 1024
"""The longest line that is read; a longer one is rejected."""
LINES_MAX = 5_000_000
"""The most lines that one file may have."""
GZIP_MAGIC = b"\x1f\x8b"
UTF16_MARKS = (b"\xff\xfe", b"\xfe\xff")


class FileLine(NamedTuple):
    """A physical line without its line ending; `problem` is None, or says why the line cannot be read."""

    number: int
    """From 1."""
    text: str
    problem: str | None = None


class LineSource:
    """The lines of a file, to be read once; after that, `sha256` is the digest of the uncompressed content."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._digest = sha256()
        self._number = 0

    @property
    def sha256(self) -> str:
        """The digest of the content that has been read so far, in hexadecimal."""
        return self._digest.hexdigest()

    def __iter__(self) -> Iterator[FileLine]:
        """Read the file line by line.

        Raises `OrderFileError` if it cannot be opened or decompressed, is empty, or has too many lines.
        """
        try:
            with self._path.open("rb") as file, _decompressed(file, self._path) as content:
                while raw := self._next(content):
                    yield self._decoded(raw)
        except OSError as error:  # also gzip.BadGzipFile
            raise OrderFileError(f"{self._path} cannot be read: {error.strerror or error}") from error
        except (EOFError, zlib.error) as error:
            raise OrderFileError(
                f"{self._path} is damaged after line {self._number} (gzip: {error}): fetch or compress it again"
            ) from error
        if self._number == 0:
            raise OrderFileError(f"{self._path} is empty: give a file with a header and at least one line")

    def _next(self, content: BinaryIO) -> bytes:
        """Return the next line, cut just beyond the longest allowed; the rest of it still counts in the digest."""
        raw = content.readline(LINE_BYTES_MAX + 1)
        self._digest.update(raw)
        rest = raw
        while len(rest) > LINE_BYTES_MAX and not rest.endswith(b"\n"):
            rest = content.readline(LINE_BYTES_MAX + 1)
            self._digest.update(rest)
        return raw

    def _decoded(self, raw: bytes) -> FileLine:
        self._number += 1
        if self._number > LINES_MAX:
            raise OrderFileError(f"{self._path} has more than {LINES_MAX:,} lines: split it into several files")
        if self._number == 1 and raw.startswith(UTF16_MARKS):
            raise OrderFileError(f"{self._path} is UTF-16: convert it (iconv -f UTF-16 -t UTF-8)")
        body = raw.rstrip(b"\r\n")
        if len(body) > LINE_BYTES_MAX:
            text = body.decode("utf-8", "backslashreplace")
            return FileLine(self._number, text, f"the line is longer than {LINE_BYTES_MAX:,} bytes")
        try:
            return FileLine(self._number, body.decode("utf-8-sig" if self._number == 1 else "utf-8"))
        except UnicodeDecodeError as error:
            problem = (
                f"byte {error.start + 1} of the line is not UTF-8: convert the file (iconv -f ISO-8859-1 -t UTF-8)"
            )
            return FileLine(self._number, body.decode("utf-8", "backslashreplace"), problem)


def _decompressed(file: BufferedReader, path: Path) -> BinaryIO:
    """Return the content of a file, decompressed if it is gzip by its name or by its first bytes."""
    if path.suffix == ".gz" or file.peek(2).startswith(GZIP_MAGIC):
        return cast("BinaryIO", gzip.GzipFile(fileobj=file))
    return file
