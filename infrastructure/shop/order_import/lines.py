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
CONTENT_BYTES_MAX = 2 * 1024**3
"""The most bytes of one file, uncompressed."""
EXPANDED_BYTES_MIN = 4 * 1024**2
EXPANSION_MAX = 100
"""How many times its size a compressed file may become, once it is beyond that. Real orders expand about tenfold."""
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
        self._bytes = 0
        self._compressed: BufferedReader | None = None

    @property
    def sha256(self) -> str:
        """The digest of the content that has been read so far, in hexadecimal."""
        return self._digest.hexdigest()

    def __iter__(self) -> Iterator[FileLine]:
        """Read the file line by line.

        Raises `OrderFileError` if it cannot be opened or decompressed, is empty, or has too many bytes or lines.
        """
        try:
            with self._path.open("rb") as file, _decompressed(file, self._path) as content:
                self._compressed = None if content is file else file
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
        self._count(raw)
        rest = raw
        while len(rest) > LINE_BYTES_MAX and not rest.endswith(b"\n"):
            rest = content.readline(LINE_BYTES_MAX + 1)
            self._count(rest)
        return raw

    def _count(self, content: bytes) -> None:
        """Add to the digest and the size. Raises `OrderFileError` when that is more than time and memory allow."""
        self._digest.update(content)
        self._bytes += len(content)
        if self._bytes > CONTENT_BYTES_MAX:
            raise OrderFileError(
                f"{self._path} has more than {CONTENT_BYTES_MAX:,} bytes, uncompressed: split it into several files"
            )
        if self._compressed is None or self._bytes <= EXPANDED_BYTES_MIN:
            return
        if self._bytes > EXPANSION_MAX * self._compressed.tell():
            raise OrderFileError(
                f"{self._path} expands more than {EXPANSION_MAX}-fold, as no file of orders does: decompress it if it "
                "is one"
            )

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
