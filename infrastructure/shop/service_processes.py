"""The processes of services: one for each, started again when it ends."""

from __future__ import annotations

import subprocess
from collections.abc import Callable, Sequence

from ..errors import Unavailable
from .run_options import BrokerOptions

RESTARTS_MAX = 20
"""How often processes are started again, all services together."""
STOP_SECONDS_MAX = 15.0


class ServiceProcesses:
    """A process for each of some services."""

    def __init__(self, names: Sequence[str], broker: BrokerOptions, say: Callable[[str], None]) -> None:
        self._broker = broker
        self._say = say
        self._restarts_left = RESTARTS_MAX
        self._running = {name: self._start(name) for name in names}

    def restart_ended(self) -> None:
        """Start the processes that have ended again. Raises `Unavailable` when that happened too often."""
        for name, process in self._running.items():
            if process.poll() is None:
                continue
            if self._restarts_left == 0:
                raise Unavailable(f"the process of service {name} keeps ending with exit code {process.returncode}")
            self._restarts_left -= 1
            self._say(f"the process of service {name} ended with exit code {process.returncode}: it is started again")
            self._running[name] = self._start(name)

    def stop(self) -> None:
        """Ask every process to end, and kill those that do not."""
        for process in self._running.values():
            process.terminate()
        for process in self._running.values():
            try:
                process.wait(STOP_SECONDS_MAX)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()

    def _start(self, name: str) -> subprocess.Popen[bytes]:
        return subprocess.Popen(  # noqa: S603  # the command comes from the caller's own program
            [*self._broker.service_command, name],
            env=dict(self._broker.service_environment),
            stdout=subprocess.DEVNULL,
        )
