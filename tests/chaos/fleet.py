"""The worker processes, started as a user would start them, and what is done to them."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from pathlib import Path
from time import monotonic
from typing import NamedTuple

ROOT = Path(__file__).parents[2]
COMMAND = Path(sys.executable).with_name("sagaledger")
APP = "tests.chaos.app:APP"
SERVICE = ROOT / "examples" / "http_service" / "service.py"
WORK_SECONDS = 0.05
"""How long each request takes in the service, so that a worker has something at hand when it is hit."""
RENAME = ("unshare", "--uts", "sh", "-c", 'hostname "$0" && exec "$@"')
STOP_SECONDS_MAX = 30.0
UNAVAILABLE = 5
"""The exit code of a command that found no database."""
AT_WORK = "; Ctrl-C stops"
"""What a worker says once it has its lease."""


@cache
def _can_rename_machines() -> bool:
    """Whether a process here may live under another host name; it takes root, and Linux."""
    tried = [*RENAME, "probe", "true"]
    return (
        shutil.which("unshare") is not None and subprocess.run(tried, capture_output=True, check=False).returncode == 0
    )


def _on_a_machine_of_its_own(name: str) -> list[str]:
    """What makes a command believe so, where that can be done.

    Otherwise workers find the dead of their own machine at once, and their leases hardly ever count.
    """
    return [*RENAME, name] if _can_rename_machines() else []


class Ended(NamedTuple):
    """A worker that ended without being told to."""

    number: int
    exit_code: int
    last_words: str


class WorkerProcess:
    """A `sagaledger worker` in a process of its own, with its messages in a file."""

    def __init__(self, number: int, url: str, lease_seconds: float, environment: dict[str, str], log: Path) -> None:
        self.number = number
        self.log = log
        self.thaw_at: float | None = None
        """When it is to be continued; None: it is not frozen."""
        with log.open("wb") as messages:
            self._process = subprocess.Popen(
                [
                    *_on_a_machine_of_its_own(f"machine-{number}"),
                    str(COMMAND),
                    "worker",
                    "--lease-seconds",
                    str(lease_seconds),
                    "--db",
                    url,
                    "--app",
                    APP,
                ],
                cwd=ROOT,
                env={**os.environ, **environment},
                stdin=subprocess.DEVNULL,
                stdout=messages,
                stderr=messages,
            )

    @property
    def pid(self) -> int:
        """Its process id."""
        return self._process.pid

    def kill(self) -> None:
        """SIGKILL: it has no time for anything."""
        self._process.kill()
        self._process.wait()

    def freeze(self, seconds: float) -> None:
        """SIGSTOP for a while: it does not notice that time passes."""
        os.kill(self.pid, signal.SIGSTOP)
        self.thaw_at = monotonic() + seconds

    def thaw(self) -> None:
        """SIGCONT."""
        os.kill(self.pid, signal.SIGCONT)
        self.thaw_at = None

    def ended(self) -> Ended | None:
        """How it ended, if it did by itself."""
        code = self._process.poll()
        return None if code is None else Ended(self.number, code, self.last_words())

    def stop(self) -> Ended | None:
        """SIGTERM: it finishes what it has at hand. Gives how it ended, unless as it should."""
        ended = self.ended()
        if ended is not None:
            return ended
        self._process.terminate()
        try:
            code = self._process.wait(STOP_SECONDS_MAX)
        except subprocess.TimeoutExpired:
            self.kill()
            return Ended(self.number, -signal.SIGKILL, f"not stopped after {STOP_SECONDS_MAX:g} s: {self.last_words()}")
        if code == -signal.SIGTERM and not self.at_work:
            return None  # it had not even begun
        return None if code == 0 else Ended(self.number, code, self.last_words())

    @property
    def at_work(self) -> bool:
        """Whether it has come so far as to work sagas."""
        return AT_WORK in self.log.read_text(errors="replace")

    def last_words(self) -> str:
        """The end of its messages."""
        return self.log.read_text(errors="replace")[-2_000:]


class Fleet:
    """So many workers; who dies is replaced."""

    def __init__(self, url: str, workers: int, lease_seconds: float, environment: dict[str, str], folder: Path) -> None:
        self._url = url
        self._lease_seconds = lease_seconds
        self._environment = environment
        self._folder = folder
        self._launched = 0
        self.ended: list[Ended] = []
        """Those that ended by themselves while they were at work, which none should."""
        self.unlaunched = 0
        """How many found no database when they began, and said so: who supervises them begins again."""
        self.workers = [self._launch(number) for number in range(workers)]

    def kill(self, number: int) -> int:
        """Kill a worker, and start another in its place; gives the dead one's process id."""
        dead = self.workers[number]
        self._note(dead)
        dead.kill()
        self.workers[number] = self._launch(number)
        return dead.pid

    @property
    def at_work(self) -> int:
        """How many workers are at work now."""
        return sum(worker.at_work and worker.thaw_at is None for worker in self.workers)

    def freeze(self, number: int, seconds: float) -> None:
        """Stop a worker's clock for a while."""
        self.workers[number].freeze(seconds)

    def tend(self, *, thaw_all: bool = False) -> None:
        """Continue those that were frozen for long enough, and replace those that ended by themselves."""
        for number, worker in enumerate(self.workers):
            if worker.thaw_at is not None and (thaw_all or worker.thaw_at <= monotonic()):
                worker.thaw()
            if self._note(worker):
                self.workers[number] = self._launch(number)

    def stop(self) -> None:
        """Stop every worker in good order, and note those that could not."""
        self.tend(thaw_all=True)
        self.ended += [ended for worker in self.workers if (ended := worker.stop())]

    def abandon(self) -> None:
        """Kill whatever still runs."""
        for worker in self.workers:
            worker.kill()

    def messages(self, text: str) -> int:
        """In how many lines of all the workers' messages a text stands."""
        logs = [log.read_text(errors="replace") for log in self._folder.glob("worker-*.log")]
        return sum(text in line for log in logs for line in log.splitlines())

    def _note(self, worker: WorkerProcess) -> bool:
        ended = worker.ended()
        if ended is None:
            return False
        if ended.exit_code == UNAVAILABLE and not worker.at_work:
            self.unlaunched += 1
        else:
            self.ended.append(ended)
        return True

    def _launch(self, number: int) -> WorkerProcess:
        self._launched += 1
        log = self._folder / f"worker-{number}-{self._launched}.log"
        return WorkerProcess(number, self._url, self._lease_seconds, self._environment, log)


@contextmanager
def courier(folder: Path, *, misbehave: float, late_seconds: float, seed: int) -> Iterator[str]:
    """The service that the sagas call, in a process of its own; gives its address."""
    options = {
        "--port": 0,
        "--db": folder / "courier.sqlite",
        "--misbehave": misbehave,
        "--work-seconds": WORK_SECONDS,
        "--late-seconds": late_seconds,
        "--seed": seed,
    }
    process = subprocess.Popen(
        [sys.executable, str(SERVICE), *(str(word) for option in options.items() for word in option)],
        stdout=subprocess.PIPE,
        text=True,
    )
    try:
        assert process.stdout is not None
        yield process.stdout.readline().strip()
    finally:
        process.kill()
        process.wait()
        if process.stdout is not None:
            process.stdout.close()
