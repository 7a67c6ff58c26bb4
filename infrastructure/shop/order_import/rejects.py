"""The report of rejects: each line of a file that is part of no order and no return."""

from __future__ import annotations

import csv
from collections.abc import Iterable
from pathlib import Path

from .errors import OrderFileError
from .order_file import RejectedLine


def write_rejects(path: Path, rejects: Iterable[RejectedLine]) -> None:
    """Write the report as CSV with the columns line, reason and content; without rejects it is the header alone.

    Raises `OrderFileError` if the file cannot be written.
    """
    try:
        with path.open("w", encoding="utf-8", newline="") as file:
            writer = csv.writer(file)
            writer.writerow(("line", "reason", "content"))
            writer.writerows((reject.line, reject.reason, reject.content) for reject in rejects)
    except OSError as error:
        raise OrderFileError(f"the report of rejects {path} cannot be written: {error.strerror or error}") from error
