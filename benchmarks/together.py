"""Several processes that each do a share of the work, at the same time."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from itertools import cycle
from pathlib import Path

from .measuring import seconds_of

CAN_KEEP_TO_CORES = hasattr(os, "sched_setaffinity")


def seconds_together(module: str, shares: Sequence[Sequence[str]], *, each_on_a_core: bool) -> float:
    """Run a module in one process for each share (its arguments). Returns the seconds until the last one has ended.

    Each process must call `wait_for_all` once it is warm, and `tell_all` when its share is done. On Linux each can be
    kept on a core of its own, as far as there are enough cores.
    """
    with ExitStack() as stack:
        members = [stack.enter_context(_running(module, share)) for share in shares]
        if each_on_a_core:
            for member, core in zip(members, cycle(os.sched_getaffinity(0)), strict=False):
                os.sched_setaffinity(member.pid, {core})
        for member in members:
            _hear(member)

        def work() -> None:
            for member in members:
                _tell(member)
            for member in members:
                _hear(member)

        return seconds_of(work)


def wait_for_all() -> None:
    """Wait, in such a process, until the others are ready, too."""
    tell_all()
    sys.stdin.readline()


def tell_all() -> None:
    """Report, from such a process, that it has reached this point."""
    print(flush=True)


@contextmanager
def _running(module: str, share: Sequence[str]) -> Iterator[subprocess.Popen[str]]:
    with subprocess.Popen(
        [sys.executable, "-m", module, *share],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        cwd=Path(__file__).parents[1],
    ) as process:
        try:
            yield process
        finally:
            process.kill()


def _hear(member: subprocess.Popen[str]) -> None:
    assert member.stdout is not None
    if not member.stdout.readline():
        raise RuntimeError("a process of the benchmark ended before it was done: see what it printed above")


def _tell(member: subprocess.Popen[str]) -> None:
    assert member.stdin is not None
    print(file=member.stdin, flush=True)
