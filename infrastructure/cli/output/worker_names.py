"""Short names of workers, for screens."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping

_WORKER = re.compile(r"(?P<host>.*?)(?: pid:\[\d+\])?-(?P<process>\d+-\d+)", re.DOTALL)
"""The id of a worker: its host, its namespace of process ids where there are several, its process id and a number."""


def short_names(workers: Iterable[str | None]) -> Mapping[str, str]:
    """Return a short name for each of these workers: `4711-1`, or `host/4711-1` if they are on several hosts.

    The full one stands for a worker whose id has another form, or whose short name would be that of another.
    """
    found = {worker: _WORKER.fullmatch(worker) for worker in dict.fromkeys(workers) if worker}
    hosts = {match["host"] for match in found.values() if match}
    short = {
        worker: worker
        if match is None
        else match["process"]
        if len(hosts) == 1
        else f"{match['host']}/{match['process']}"
        for worker, match in found.items()
    }
    names = list(short.values())
    return {worker: name if names.count(name) == 1 else worker for worker, name in short.items()}
