"""Progress of long work: a bar on stderr if that is a terminal, and nothing otherwise."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager

from ...runtime.progress import ReportProgress
from .text import one_line


@contextmanager
def progress(label: str) -> Iterator[ReportProgress]:
    """Show a progress bar during the work inside."""
    if not sys.stderr.isatty():
        yield _drop
        return
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

    console = Console(file=sys.stderr)
    columns = (TextColumn("{task.description}", markup=False), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
    with Progress(*columns, console=console, transient=True) as bar:
        task = bar.add_task(one_line(label), total=None)
        yield lambda done, total: bar.update(task, completed=done, total=total)


def _drop(_done: int, _total: int) -> None:
    """Drop a report of progress: stderr is not a terminal."""
