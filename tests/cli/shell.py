"""The command line as a user has it: a process of its own, in a folder of its own."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from tempfile import TemporaryFile
from typing import Any

from .fork_server import fork_server

PROGRAM = Path(sys.executable).with_name("sagaledger")
PATIENCE_SECONDS = 60.0
ORDER: dict[str, Any] = {
    "order_id": "T1",
    "placed_at": "2026-03-01T02:17:05Z",
    "lines": [{"sku": "17021", "quantity": 1, "amount_minor": 250}],
}


class Shell:
    """A user's shell: a folder, a ledger in the environment, and commands."""

    def __init__(self, folder: Path, db: str | None = None) -> None:
        self.folder = folder
        self.environment = {
            name: value for name, value in os.environ.items() if not name.startswith(("SAGALEDGER_", "NO_COLOR"))
        }
        self.environment["PATH"] = f"{PROGRAM.parent}{os.pathsep}{self.environment.get('PATH', '')}"
        if db is not None:
            self.environment["SAGALEDGER_DB"] = db
        self._running: list[subprocess.Popen[str]] = []

    def __call__(self, *words: str, stdin: str = "") -> subprocess.CompletedProcess[str]:
        """Run a command to its end."""
        with TemporaryFile("w+") as given, TemporaryFile("w+") as answer, TemporaryFile("w+") as messages:
            given.write(stdin)
            given.seek(0)
            files = [given, answer, messages]
            code = fork_server().run(list(words), self.folder, self.environment, files, PATIENCE_SECONDS)
            answer.seek(0)
            messages.seek(0)
            return subprocess.CompletedProcess(words, code, answer.read(), messages.read())

    def json(self, *words: str) -> dict[str, Any]:
        """The document that a command answers with `--json`; it must succeed."""
        done = self(*words, "--json")
        assert done.returncode == 0, done.stderr
        document: dict[str, Any] = json.loads(done.stdout)
        return document

    def line(self, command: str) -> subprocess.CompletedProcess[str]:
        """Run a line of shell, as copied from a screen."""
        return subprocess.run(
            ["bash", "-o", "pipefail", "-c", command],
            cwd=self.folder,
            env=self.environment,
            capture_output=True,
            text=True,
            timeout=PATIENCE_SECONDS,
            check=False,
        )

    def background(self, *words: str) -> subprocess.Popen[str]:
        """A command that goes on, such as a worker; ended with the test."""
        process = subprocess.Popen(
            [PROGRAM, *words],
            cwd=self.folder,
            env=self.environment,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        self._running.append(process)
        return process

    def worker(self, *words: str) -> subprocess.Popen[str]:
        """A worker that has begun to work."""
        process = self.background("worker", *words)
        assert process.stderr is not None
        assert any("working" in line for line in process.stderr), "the worker ended"
        return process

    def close(self) -> None:
        """End what still runs."""
        for process in self._running:
            process.kill()
            process.communicate()


def until(condition: Callable[[], bool], *, every_seconds: float = 0.02) -> None:
    """Wait for a condition, within reason."""
    deadline = time.monotonic() + PATIENCE_SECONDS
    while not condition():
        assert time.monotonic() < deadline, "waited too long"
        time.sleep(every_seconds)
