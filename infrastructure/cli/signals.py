"""The signals that ask a command to stop."""

from __future__ import annotations

import asyncio
import signal


class StopRequest:
    """The first SIGINT or SIGTERM asks the command to stop; a second SIGINT interrupts it."""

    def __init__(self) -> None:
        self.event = asyncio.Event()
        self.signal: signal.Signals | None = None
        self._loop = asyncio.get_running_loop()
        for number in (signal.SIGINT, signal.SIGTERM):
            self._loop.add_signal_handler(number, self._stop, number)

    def _stop(self, number: signal.Signals) -> None:
        self.signal = number
        self.event.set()
        for each in (signal.SIGINT, signal.SIGTERM):
            self._loop.remove_signal_handler(each)
