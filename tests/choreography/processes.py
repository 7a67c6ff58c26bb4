"""Processes for the tests: the command line, and a NATS server from its wheel."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path

PROGRAM = Path(sys.executable).with_name("sagaledger")
NATS_SERVER = Path(sys.executable).with_name("nats-server")
PATIENCE_SECONDS = 60.0


class Nats:
    """A NATS server with JetStream, on a port and in a folder of its own; `settings` are those of its file."""

    def __init__(self, folder: Path, settings: str = "") -> None:
        self._folder = folder
        self._settings = folder / "nats.conf"
        self._settings.write_text(settings)
        self._port = free_port()
        self._stores = 0
        self._process: subprocess.Popen[bytes] | None = None
        self.host = f"127.0.0.1:{self._port}"
        self.url = f"nats://{self.host}"

    def start(self, *, wiped: bool = False) -> None:
        """Start the server with what it had stored; `wiped`: with an empty store."""
        if wiped or self._stores == 0:
            self._stores += 1
        store = self._folder / f"jetstream-{self._stores}"
        options = ["-js", "-a", "127.0.0.1", "-p", str(self._port), "-sd", str(store), "-c", str(self._settings)]
        self._process = subprocess.Popen(
            [NATS_SERVER, *options], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, cwd=self._folder
        )
        until(self._is_up)

    def kill(self) -> None:
        """Kill it, as a power cut would."""
        if self._process is not None:
            self._process.kill()
            self._process.wait()
            self._process = None

    def _is_up(self) -> bool:
        try:
            with socket.create_connection(("127.0.0.1", self._port), timeout=0.2):
                return True
        except OSError:
            return False


class ServiceProcess:
    """A service or the relay, in a process of its own."""

    def __init__(self, name: str, ledger_url: str, broker_url: str, program: Sequence[str | Path] = (PROGRAM,)) -> None:
        environment = {**os.environ, "SAGALEDGER_DB": ledger_url, "SAGALEDGER_APP": "shop"}
        self.name = name
        command = ("participants", "relay") if name == "relay" else ("participants", "run", name)
        self._process = subprocess.Popen(
            [*program, *command, "--broker", broker_url],
            env=environment,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )

    def kill(self) -> None:
        """Kill it, as a power cut would."""
        self._process.send_signal(signal.SIGKILL)
        self._process.wait()

    def was_killed(self) -> bool:
        """Wait until the process has ended; returns whether it was killed."""
        return self._process.wait(PATIENCE_SECONDS) == -signal.SIGKILL

    def stop(self) -> None:
        """Ask the process to end, and kill it if it does not."""
        self._process.terminate()
        try:
            self._process.wait(15)
        except subprocess.TimeoutExpired:
            self.kill()


def until(condition: Callable[[], bool], seconds: float = PATIENCE_SECONDS) -> None:
    """Wait for a condition; fails if that takes too long."""
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "waited too long"
        time.sleep(0.05)


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port
