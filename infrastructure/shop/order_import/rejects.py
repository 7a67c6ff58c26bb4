"""The report of rejects: each line of a file that is part of no order and no return."""

from __future__ import annotations

import csv
import os
import stat
import tempfile
from collections.abc import Iterable
from pathlib import Path

from ...runtime.spreadsheet_cell import as_plain_cell
from .errors import OrderFileError
from .order_file import RejectedLine

COLUMNS = ("line", "reason", "content")
HEADER = f"{','.join(COLUMNS)}\r\n".encode()


def check_rejects_file(path: Path, *, used: Iterable[Path]) -> None:
    """Check that a report may be written to a file: it is absent, empty, or an earlier report.

    `used` are the files that the run reads or writes otherwise. Raises `OrderFileError` for one of these, under
    whatever name, for a link, and for any file that is not a report of rejects.
    """
    refusal = f"the report of rejects cannot be written to {path}: "
    remedy = "; name another file with --rejects"
    try:
        for other in used:
            if _is_same(path, other):
                raise OrderFileError(f"{refusal}that is {other}, which this run uses{remedy}")
        status = _status(path)
        if status is None or _is_null(status):
            return
        if stat.S_ISLNK(status.st_mode):
            raise OrderFileError(f"{refusal}it is a link{remedy}")
        if not stat.S_ISREG(status.st_mode):
            raise OrderFileError(f"{refusal}it is not a file{remedy}")
        if status.st_size and not _is_report(path):
            raise OrderFileError(f"{refusal}it exists and is no report of rejects{remedy}")
    except (OSError, ValueError) as error:  # ValueError: a name with a NUL
        raise OrderFileError(f"{refusal}{getattr(error, 'strerror', None) or error}{remedy}") from error


def write_rejects(path: Path, rejects: Iterable[RejectedLine], *, unlisted: int = 0, used: Iterable[Path] = ()) -> None:
    """Write the report as CSV with the columns line, reason and content; without rejects it is the header alone.

    `unlisted`: how many further lines were rejected, for a last line that says so.
    The report is written to a new file that only its owner may read, which then takes the name. Raises as
    `check_rejects_file` does, and if the file cannot be written.
    """
    check_rejects_file(path, used=used)
    if (status := _status(path)) is not None and _is_null(status):
        return
    try:
        descriptor, name = tempfile.mkstemp(prefix=".rejects.", dir=path.parent)
        try:
            with os.fdopen(descriptor, "w", encoding="utf-8", errors="backslashreplace", newline="") as file:
                writer = csv.writer(file)
                writer.writerow(COLUMNS)
                writer.writerows((reject.line, reject.reason, as_plain_cell(reject.content)) for reject in rejects)
                if unlisted:
                    writer.writerow(("", f"{unlisted:,} more lines were rejected, and are not listed", ""))
            Path(name).replace(path)
        except BaseException:
            Path(name).unlink(missing_ok=True)
            raise
    except OSError as error:
        raise OrderFileError(f"the report of rejects {path} cannot be written: {error.strerror or error}") from error


def _status(path: Path) -> os.stat_result | None:
    try:
        return path.lstat()
    except FileNotFoundError:
        return None


def _is_same(path: Path, other: Path) -> bool:
    """Whether two paths lead to one file, by any link, or would if it existed."""
    try:
        return path.samefile(other)
    except FileNotFoundError:
        return path.resolve() == other.resolve()


def _is_null(status: os.stat_result) -> bool:
    return stat.S_ISCHR(status.st_mode) and status.st_rdev == Path(os.devnull).stat().st_rdev


def _is_report(path: Path) -> bool:
    descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW)
    with os.fdopen(descriptor, "rb") as file:
        return file.read(len(HEADER)) == HEADER
